//! What it costs to sign a message as a whole, as webhook policies do: `cargo bench --bench signing`. By each algorithm, for
//! messages as they mostly are and for a large one.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use walhook::jws::{Key, generate};
use walhook::policy::Algorithm;

fn main() {
    divan::main();
}

#[divan::bench(args = Algorithm::ALL, consts = [1024, 1_048_576])]
fn sign<const BYTES: usize>(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let key =
        Key::read(algorithm, &generate(algorithm).expect("there is randomness")).expect("it was made so");
    let claims = vec![b'x'; BYTES];
    bencher.counter(BytesCount::new(BYTES)).bench(|| {
        let mut token = String::new();
        key.sign(None, black_box(&claims), &mut token).expect("the key is one");
        token
    });
}
