"""Matrix products, einsum and tensordot."""

import numpy as np
import torch

from recorder import integers, normal


def record(recorder):
    for kind, left, right in (
        ("vector_vector", (7,), (7,)),
        ("matrix_vector", (4, 7), (7,)),
        ("vector_matrix", (7,), (7, 3)),
        ("matrix_matrix", (4, 7), (7, 3)),
        ("odd", (17, 13), (13, 19)),
        ("wide", (2, 33), (33, 65)),
        ("row", (1, 8), (8, 1)),
        ("column", (8, 1), (1, 5)),
        ("batch", (3, 4, 5), (3, 5, 2)),
        ("batch_matrix", (3, 4, 5), (5, 2)),
        ("matrix_batch", (4, 5), (3, 5, 2)),
        ("batch_vector", (3, 4, 5), (5,)),
        ("vector_batch", (5,), (3, 5, 2)),
        ("broadcast_one", (1, 4, 5), (3, 5, 2)),
        ("broadcast_both", (2, 1, 3, 4), (1, 5, 4, 2)),
        ("broadcast_rank", (2, 3, 4, 5), (3, 5, 2)),
        ("empty_inner", (3, 0), (0, 2)),
        ("empty_rows", (0, 4), (4, 2)),
    ):
        recorder.case(f"matmul/{kind}", "matmul", torch.matmul, [normal(*left), normal(*right)], reference=np.matmul)
    recorder.stored("matmul/int32", "matmul", np.matmul, [integers(-5, 6, 3, 4), integers(-5, 6, 4, 2)])

    for equation, *shapes in (
        ("ij,jk->ik", (3, 4), (4, 5)),
        ("ij,kj->ik", (3, 4), (5, 4)),
        ("ji,jk->ki", (4, 3), (4, 5)),
        ("ij,jk", (3, 4), (4, 5)),
        ("i,i->", (6,), (6,)),
        ("i,i->i", (6,), (6,)),
        ("i,j->ij", (3,), (4,)),
        ("ij->ji", (3, 4)),
        ("ij->", (3, 4)),
        ("ij->j", (3, 4)),
        ("ii->i", (4, 4)),
        ("ii->", (4, 4)),
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
        ("bij,bkj->bik", (2, 3, 4), (2, 5, 4)),
        ("bqhd,bkhd->bhqk", (2, 3, 2, 4), (2, 5, 2, 4)),
        ("bhqk,bkhd->bqhd", (2, 2, 3, 5), (2, 5, 2, 4)),
        ("btd,dhk->bthk", (2, 3, 4), (4, 2, 3)),
        ("bthk,hkd->btd", (2, 3, 2, 3), (2, 3, 4)),
        ("abc,cd,de->abe", (2, 3, 4), (4, 2), (2, 3)),
        ("ij,ij,ij->i", (3, 4), (3, 4), (3, 4)),
        ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
        ("...ij,jk->...ik", (2, 2, 3, 4), (4, 5)),
        ("b...,b...->b...", (2, 3, 4), (2, 3, 4)),
        ("ijk->kij", (2, 3, 4)),
        ("ijk,k->ij", (2, 3, 4), (4,)),
        ("ij,k->ij", (2, 3), (4,)),
        ("ab,cd->acbd", (2, 3), (2, 4)),
        ("nlc,ndc->nld", (2, 5, 3), (2, 4, 3)),
    ):
        recorder.case(
            f"einsum/{equation}", "einsum", lambda *xs: torch.einsum(equation, *xs), [normal(*s) for s in shapes],
            {"equation": equation}, reference=lambda *xs: np.einsum(equation, *xs),
        )

    for kind, left, right, axes in (
        ("one", (3, 4), (4, 5), [[1], [0]]),
        ("two", (2, 3, 4), (3, 4, 5), [[1, 2], [0, 1]]),
        ("swapped", (2, 3, 4), (4, 3, 5), [[1, 2], [1, 0]]),
        ("first_axes", (4, 2), (4, 3), [[0], [0]]),
        ("negative", (2, 3, 4), (5, 4), [[-1], [-1]]),
        ("outer", (2, 3), (4,), [[], []]),
        ("full", (2, 3), (2, 3), [[0, 1], [0, 1]]),
    ):
        recorder.case(
            f"tensordot/{kind}", "tensordot", lambda a, b: torch.tensordot(a, b, dims=axes), [normal(*left), normal(*right)],
            {"axes": axes}, reference=lambda a, b: np.tensordot(a, b, axes=axes),
        )
