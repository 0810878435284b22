//! native.rs is native.c for the containers of Rust.
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::{env, process, thread, time::Duration};

struct Session {
    data: [u8; 3000],
}

#[derive(Default)]
struct Store {
    sessions: Vec<Box<Session>>,
    users: HashMap<u64, String>,
    rows: Vec<Vec<u64>>,
    queue: Mutex<Vec<Vec<u8>>>,
}

// What references itself is never given back.
struct Node {
    data: [u8; 3000],
    next: RefCell<Option<Arc<Node>>>,
}

impl Store {
    #[inline(never)]
    fn put_session(&mut self, n: u8) {
        self.sessions.push(Box::new(Session { data: [n; 3000] }));
    }

    #[inline(never)]
    fn add_user(&mut self, n: u64) {
        self.users.insert(n, "u".repeat(2900));
    }

    #[inline(never)]
    fn append_row(&mut self, n: u64) {
        if self.rows.is_empty() {
            self.rows = vec![Vec::new(); 64];
        }
        self.rows[n as usize % 64].extend(std::iter::repeat(n).take(375));
    }

    #[inline(never)]
    fn enqueue(&self, n: u8) {
        self.queue.lock().unwrap().push(vec![n; 3000]);
    }
}

#[inline(never)]
fn make_cycle(n: u8) {
    let a = Arc::new(Node { data: [n; 3000], next: RefCell::new(None) });
    *a.next.borrow_mut() = Some(a.clone());
    assert!(a.data[0] == n);
}

#[inline(never)]
fn churn(n: u8) {
    let batch: Vec<Box<Session>> = (0..30).map(|_| Box::new(Session { data: [n; 3000] })).collect();
    let texts: Vec<String> = (0..30).map(|_| "c".repeat(2900)).collect();
    assert!(batch.iter().all(|s| s.data[1] == n) && texts.len() == 30);
}

fn main() {
    let mode = env::args().nth(1).unwrap_or_default();
    let mut store = Store::default();
    for n in 0u64.. {
        match mode.as_str() {
            "box" => store.put_session(n as u8),
            "hashmap" => store.add_user(n),
            "vec" => store.append_row(n),
            "arc" => make_cycle(n as u8),
            "mutex" => store.enqueue(n as u8),
            _ => process::exit(2),
        }
        churn(n as u8);
        thread::sleep(Duration::from_micros(500));
    }
}
