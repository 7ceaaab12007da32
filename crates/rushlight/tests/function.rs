//! `function` is one name for two things: an attribute for functions and a wrapper of closures.

use rushlight::{Result, Tensor, explain};

#[derive(rushlight::Structure)]
struct Batch {
    x: Tensor,
    scale: f32,
}

#[rushlight::function]
fn scaled(batch: &Batch) -> Tensor {
    &batch.x * batch.scale
}

mod with_the_prelude {
    use rushlight::prelude::*;

    #[derive(Structure)]
    pub struct Pair(pub Tensor, pub Tensor);

    #[function]
    pub fn product(pair: &Pair) -> Tensor {
        &pair.0 * &pair.1
    }

    pub fn sum(pair: &Pair) -> Tensor {
        function("sum", |pair: &Pair| &pair.0 + &pair.1).call(pair)
    }
}

#[test]
fn attribute_and_closure_share_a_name() -> Result<()> {
    let x = Tensor::from([1.0f32, 2.0]);
    let batch = Batch { x: x.clone(), scale: 3.0 };
    assert_eq!(scaled(&batch).to_vec::<f32>()?, [3.0, 6.0]);
    assert!(explain(scaled).contains("batch.scale: 3.0"), "{}", explain(scaled));
    let pair = with_the_prelude::Pair(x.clone(), x + 1.0);
    assert_eq!(with_the_prelude::product(&pair).to_vec::<f32>()?, [2.0, 6.0]);
    assert_eq!(with_the_prelude::sum(&pair).to_vec::<f32>()?, [3.0, 5.0]);
    Ok(())
}
