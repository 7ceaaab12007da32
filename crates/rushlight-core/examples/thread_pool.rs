//! What it costs to share work over threads: nanoseconds of a call whose tasks do nothing, and from which size on two
//! threads are faster than one.

use rushlight_core::cpu::threads::{parallel_for, set_thread_count, thread_count};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Nanoseconds of a call, the median of many.
fn nanoseconds(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 200;
    let mut times: Vec<f64> = (0..51)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS).for_each(|_| call());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn nothing(task: usize) {
    black_box(task);
}

/// Work that only takes time: so many dependent sums.
fn work(steps: usize) {
    black_box((0..steps).fold(0.5f32, |x, _| black_box(x * 0.5 + 0.25)));
}

fn main() {
    let threads = thread_count().max(2);
    println!("tasks that do nothing, ns a call:");
    for count in [1, threads] {
        set_thread_count(count);
        for tasks in [1, 2, 8, 64] {
            let time = nanoseconds(|| parallel_for(tasks, nothing));
            println!("{count:>3} thread(s), {tasks:>3} tasks: {time:>8.0}");
        }
    }
    // After a pause the workers sleep, and must be woken.
    set_thread_count(threads);
    let mut woken: Vec<f64> = (0..100)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(1));
            let start = Instant::now();
            parallel_for(2, nothing);
            start.elapsed().as_secs_f64() * 1e9
        })
        .collect();
    woken.sort_by(f64::total_cmp);
    println!("{threads:>3} thread(s), asleep before: {:>6.0}", woken[woken.len() / 2]);
    println!("work in two tasks, ns a call on one thread and on {threads}:");
    for steps in [8, 32, 128, 512, 2048, 8192, 32768] {
        let [alone, shared] = [1, threads].map(|count| {
            set_thread_count(count);
            nanoseconds(|| parallel_for(2, |_| work(steps)))
        });
        println!("{alone:>10.0} {shared:>10.0}  {:.2} times as fast", alone / shared);
    }
    set_thread_count(0);
}
