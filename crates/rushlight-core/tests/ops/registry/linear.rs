use super::{Case, uniform};
use rushlight_core::einsum;

pub fn add(cases: &mut Vec<Case>) {
    let shapes: [(&[usize], &[usize]); 11] = [
        (&[3], &[3]),
        (&[3], &[3, 4]),
        (&[2, 3], &[3]),
        (&[2, 3], &[3, 4]),
        (&[5, 2, 3], &[3, 4]),
        (&[2, 3], &[5, 3, 4]),
        (&[5, 2, 3], &[5, 3, 4]),
        (&[2, 1, 2, 3], &[4, 3, 2]),
        (&[5, 2, 3], &[3]),
        (&[3], &[2, 3, 4]),
        (&[1, 3], &[3, 1]),
    ];
    for (left, right) in shapes {
        let inputs = vec![uniform(30, left, -1.0, 1.0), uniform(31, right, -1.0, 1.0)];
        cases.push(Case::new("matmul", format!("{left:?}{right:?}"), inputs, |x| x[0].matmul(&x[1])));
    }
    let inputs = || vec![uniform(30, &[3, 2], -1.0, 1.0), uniform(31, &[4, 3], -1.0, 1.0)];
    cases.push(Case::new("matmul", "transposed", inputs(), |x| x[0].t().matmul(&x[1].t())));
    cases.push(Case::new("matmul", "square of one", vec![uniform(30, &[3, 3], -1.0, 1.0)], |x| {
        x[0].matmul(&x[0])
    }));
    for (left, right) in [(&[2, 3][..], &[4, 3, 5][..]), (&[3], &[3]), (&[], &[2, 3]), (&[2, 2, 3], &[3])] {
        let inputs = vec![uniform(32, left, -1.0, 1.0), uniform(33, right, -1.0, 1.0)];
        cases.push(Case::new("dot", format!("{left:?}{right:?}"), inputs, |x| x[0].dot(&x[1])));
    }
    let inputs = || vec![uniform(34, &[2, 3, 4], -1.0, 1.0), uniform(35, &[4, 5, 3], -1.0, 1.0)];
    cases.push(Case::new("tensordot", "two", inputs(), |x| x[0].tensordot(&x[1], &[1, 2], &[2, 0])));
    cases.push(Case::new("tensordot", "one", inputs(), |x| x[0].tensordot(&x[1], &[-1], &[0])));
    let inputs = vec![uniform(34, &[2], -1.0, 1.0), uniform(35, &[3], -1.0, 1.0)];
    cases.push(Case::new("tensordot", "outer", inputs, |x| x[0].tensordot(&x[1], &[], &[])));

    let equations: [(&str, &[&[usize]]); 18] = [
        ("ij,jk->ik", &[&[2, 3], &[3, 4]]),
        ("ij,jk", &[&[2, 3], &[3, 4]]),
        ("ba,ca->cb", &[&[2, 3], &[4, 3]]),
        ("bij,bjk->bik", &[&[2, 3, 4], &[2, 4, 2]]),
        ("bhqd,bhkd->bhqk", &[&[2, 2, 3, 4], &[2, 2, 5, 4]]),
        ("ii->i", &[&[3, 3]]),
        ("ii", &[&[3, 3]]),
        ("iij->ji", &[&[3, 3, 2]]),
        ("ij->ji", &[&[2, 3]]),
        ("ij->j", &[&[2, 3]]),
        ("i,j->ij", &[&[2], &[3]]),
        ("i,i->", &[&[4], &[4]]),
        ("ij,ij->ij", &[&[2, 3], &[2, 3]]),
        ("...ij,...jk->...ik", &[&[2, 1, 2, 3], &[4, 3, 2]]),
        ("...i,i", &[&[2, 4, 3], &[3]]),
        ("ab,bc,cd->ad", &[&[2, 3], &[3, 4], &[4, 2]]),
        ("a,ab,abc->c", &[&[2], &[2, 3], &[2, 3, 2]]),
        ("ik,jk,k->ij", &[&[2, 3], &[4, 3], &[3]]),
    ];
    for (equation, shapes) in equations {
        let inputs = shapes.iter().zip(36..).map(|(dims, seed)| uniform(seed, dims, -1.0, 1.0)).collect();
        cases.push(Case::new("einsum", equation, inputs, move |x| {
            einsum(equation, &x.iter().collect::<Vec<_>>())
        }));
    }
}
