//! One list of loops and branches that the tests go over.

use rushlight_core::random::Generator;
use rushlight_core::{
    DType, Result, Tensor, cond, for_range, map, scan, switch, while_loop, while_loop_at_most,
};
use rushlight_macros::Structure;

pub type Run = fn(&[Tensor]) -> Result<Vec<Tensor>>;

/// A function of tensors, of which those of dtype `f64` are differentiated by.
pub struct Case {
    pub name: &'static str,
    pub inputs: Vec<Tensor>,
    pub run: Run,
}

#[derive(Structure)]
#[structure(crate = rushlight_core)]
struct Pendulum {
    angle: Tensor,
    speed: Tensor,
    steps: Tensor,
    label: &'static str,
}

fn uniform(seed: u64, dims: &[usize]) -> Tensor {
    Generator::new(seed).uniform(dims, -1.0, 1.0, DType::F64)
}

fn case(name: &'static str, inputs: &[Tensor], run: Run) -> Case {
    Case { name, inputs: inputs.to_vec(), run }
}

pub fn cases() -> Vec<Case> {
    let x = uniform(1, &[3]);
    let (a, b, c) = (uniform(2, &[2, 3]), uniform(3, &[2, 3]), uniform(4, &[3]));
    let (w, u, bias) = (uniform(5, &[3, 4]), uniform(6, &[4, 4]), uniform(7, &[4]));
    let sequence = uniform(8, &[6, 2, 3]);
    let h = uniform(9, &[2, 4]);
    let number = |x: i64| Tensor::scalar(x);
    vec![
        case("a power", std::slice::from_ref(&x), |x| {
            Ok(vec![for_range(0..12, x[0].ones_like(), |i, y: Tensor| y * &x[0] + i.cast(DType::F64) * 0.1)])
        }),
        case("a few turns, written out", std::slice::from_ref(&x), |x| {
            Ok(vec![for_range(3..6, x[0].clone(), |i, y: Tensor| (y * i.cast(DType::F64)).tanh())])
        }),
        case("no turn", std::slice::from_ref(&x), |x| {
            let y = for_range(4..4, &x[0] * 2.0, |_, y: Tensor| y.exp());
            let (z, rows) = scan(x[0].clone(), &Tensor::zeros([0, 3], DType::F64), |z, row: Tensor| {
                (&z * &row, (row * &z).sum(..))
            });
            Ok(vec![y, z, rows])
        }),
        case("values that change places", &[a.clone(), b.clone(), c.clone()], |x| {
            let (p, q) = for_range(0..11, (x[0].clone(), x[1].clone()), |_, (p, q): (Tensor, Tensor)| {
                (q.clone(), (p * q).sin() + &x[2])
            });
            Ok(vec![p, q])
        }),
        case("a recurrent cell", &[sequence.clone(), h.clone(), w, u, bias], |x| {
            let (last, all) = scan(x[1].clone(), &x[0], |h: Tensor, row: Tensor| {
                let next = (row.matmul(&x[2]) + h.matmul(&x[3]) + &x[4]).tanh();
                (next.clone(), next)
            });
            Ok(vec![last, all])
        }),
        case(
            "a recurrent cell of one turn, of which only the rows are read",
            &[uniform(20, &[1, 2]), uniform(21, &[2])],
            |x| {
                let (_, rows) = scan(x[1].clone(), &x[0], |h: Tensor, row: Tensor| {
                    let next = (h * row).sin();
                    (next.clone(), next.exp())
                });
                Ok(vec![rows])
            },
        ),
        case("a map over two stacks", &[uniform(10, &[9, 2, 2]), uniform(11, &[9, 2])], |x| {
            let (products, sums) = map(&(x[0].clone(), x[1].clone()), |(m, v): (Tensor, Tensor)| {
                (m.matmul(&m), m.sum(..) + v.cos())
            });
            Ok(vec![products, sums])
        }),
        case("a branch that holds", &[a.clone(), b.clone()], |x| {
            Ok(vec![cond(&x[0].sum(..).greater(-100.0), || &x[0] * &x[1], || x[1].exp())])
        }),
        case("a branch that does not", &[a.clone(), b.clone()], |x| {
            let (y, z) = cond(
                &x[0].sum(..).greater(100.0),
                || (&x[0] * &x[1], x[0].clone()),
                || (x[1].exp(), &x[0] * 3.0),
            );
            Ok(vec![y, z])
        }),
        case("the second of three", &[number(1), a.clone(), b.clone(), c.clone()], |x| {
            Ok(vec![switch(&x[0], &[&|| x[1].sin(), &|| &x[2] * &x[3], &|| x[1].clone()])])
        }),
        case("beyond the last of three", &[number(9), a.clone(), b.clone(), c.clone()], |x| {
            Ok(vec![switch(&x[0], &[&|| x[1].sin(), &|| &x[2] * &x[3], &|| x[1].clone()])])
        }),
        case("below the first of two", &[number(-3), a.clone()], |x| {
            Ok(vec![switch(&x[0], &[&|| x[1].sin(), &|| x[1].cos()])])
        }),
        case("a bounded loop that ends early", std::slice::from_ref(&x), |x| {
            let (y, turns) = while_loop_at_most(
                30,
                (x[0].clone(), Tensor::scalar(0i64)),
                |(y, _)| y.abs().sum(..).less(8.0),
                |(y, turns)| (&y * 1.3 + y.sin() * &x[0], turns + 1),
            );
            Ok(vec![y, turns])
        }),
        case("a bounded loop that meets its bound", std::slice::from_ref(&x), |x| {
            Ok(vec![while_loop_at_most(5, x[0].clone(), |y| y.sum(..).is_finite(), |y| y.cos() * &x[0])])
        }),
        case("a bounded loop that never begins", std::slice::from_ref(&x), |x| {
            Ok(vec![while_loop_at_most(5, x[0].clone(), |y| y.sum(..).greater(1e3), |y| y.cos())])
        }),
        case("integers, without a bound", &[number(27)], |x| {
            let (_, steps) = while_loop(
                (x[0].clone(), Tensor::scalar(0i64)),
                |(n, _)| n.greater(1),
                |(n, steps)| {
                    let half = n.floor_div(2);
                    let even = (&half * 2).equal(&n);
                    (cond(&even, || half.clone(), || &n * 3 + 1), steps + 1)
                },
            );
            Ok(vec![steps])
        }),
        case("numbers alone, that change places", &[Tensor::scalar(0.7f64), Tensor::scalar(1.3f64)], |x| {
            let state = (x[0].clone(), x[1].clone(), Tensor::scalar(1i64));
            let (p, q, n) = for_range(2..11, state, |i, (p, q, n): (Tensor, Tensor, Tensor)| {
                (q.clone(), (p * &q).sin() + &x[1] - i.cast(DType::F64) * 0.01, n * 2 + i)
            });
            Ok(vec![p, q, n])
        }),
        case("a root by Newton's method", &[Tensor::scalar(7.0f64)], |x| {
            let start = (x[0].clone(), &x[0] * 0.5 + 0.5);
            let better = |(_, root): (Tensor, Tensor)| (root.clone(), (&x[0] / &root + &root) * 0.5);
            let (root, _) = while_loop_at_most(40, start, |(old, new)| new.less(old), better);
            Ok(vec![root])
        }),
        case("a struct, with the number of the turn", &[c.clone(), x.clone()], |x| {
            let start = Pendulum {
                angle: x[0].clone(),
                speed: x[1].clone(),
                steps: Tensor::scalar(0i64),
                label: "pendulum",
            };
            let end = for_range(0..20, start, |i, p: Pendulum| {
                let speed = &p.speed - p.angle.sin() * 0.1;
                Ok(Pendulum { angle: &p.angle + &speed * 0.1, speed, steps: p.steps + i, label: p.label })
            })?;
            Ok(vec![end.angle, end.speed, end.steps])
        }),
        case("what stays the same, what nobody reads", &[a.clone(), c.clone()], |x| {
            let (y, constant, _, rows) = {
                let state = (x[0].clone(), x[1].clone(), x[0].clone());
                let ((y, constant, unread), rows) =
                    scan(state, &x[0], |(y, k, unread): (Tensor, Tensor, Tensor), row: Tensor| {
                        let invariant = (x[1].exp() * 0.3).sin();
                        let y = (y * invariant + &k).tanh();
                        let unread = unread * row.sum(..);
                        ((y.clone(), k.clone(), unread), (y.sum(..), x[1].clone(), row))
                    });
                (y, constant, unread, rows)
            };
            Ok(vec![y, constant, rows.0, rows.1])
        }),
        case("loops in loops, with branches", &[sequence, c], |x| {
            let total = for_range(0..3, x[1].clone(), |outer, y: Tensor| {
                let (y, norms) = scan(y, &x[0], |y: Tensor, row: Tensor| {
                    let larger = y.sum(..).greater(row.sum(..));
                    let next =
                        cond(&larger, || (&y + row.sum(0)).sin(), || &y * (&row * &x[1]).mean(0) + 0.5);
                    let norm = next.square().sum(..);
                    (next, norm)
                });
                let settled = while_loop_at_most(6, y, |y| y.square().sum(..).greater(0.3), |y| y * 0.8);
                settled + norms.sum(..) * 0.01 + outer.cast(DType::F64) * 0.1
            });
            Ok(vec![total])
        }),
        case("rows that a loop in the loop goes through", &[uniform(12, &[5, 4, 3]), x], |x| {
            let sums = map(&x[0], |rows: Tensor| {
                let (sum, _) = scan(x[1].clone(), &rows, |sum: Tensor, row: Tensor| {
                    let next = (&sum * 0.5 + row).sin();
                    (next.clone(), next)
                });
                sum
            });
            Ok(vec![sums])
        }),
    ]
}
