//! I/O threads against real files.

use super::*;
use std::sync::atomic::AtomicI32;

struct Rig {
    disk: Arc<Disk>,
    words: &'static [AtomicI32; 2],
}

impl Rig {
    fn new(device: u32, threads: usize) -> Self {
        let memory: &'static mut [u8] = Box::leak(vec![7u8; 4096].into_boxed_slice());
        let words: &'static [AtomicI32; 2] = Box::leak(Box::default());
        let regions = vec![Region {
            start: memory.as_mut_ptr(),
            bytes: memory.len(),
        }];
        let doorbell = unsafe { Doorbell::new(words.as_ptr() as *mut i32) };
        let disk = unsafe { Disk::start(device, regions, doorbell, threads) }.unwrap();
        Rig { disk, words }
    }

    /// Waits for `count` completions.
    fn take(&self, count: usize) -> Vec<Completion> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut taken = Vec::new();
        while taken.len() < count {
            assert!(Instant::now() < deadline, "completions in time");
            let doorbell = unsafe { Doorbell::new(self.words.as_ptr() as *mut i32) };
            let seen = self.words[0].load(SeqCst);
            if self.disk.take(16, |_, completion| taken.push(completion)) == 0 {
                doorbell.wait(seen, 0, 1000.0);
            }
        }
        taken
    }
}

fn folder(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("extentd-native-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path.to_str().unwrap().to_string()
}

fn path_work(code: u32, path: &str) -> Work {
    let flags = f64::from(libc::O_RDWR | libc::O_CREAT);
    let path = path.to_string();
    Work::Path {
        code,
        path,
        path2: String::new(),
        a: flags,
        b: 420.0,
    }
}

#[test]
fn every_submission_completes_once_on_one_and_on_many_threads() {
    for threads in [1, 4] {
        let rig = Rig::new(190, threads);
        let folder = folder(&format!("each{threads}"));
        for token in 0..200 {
            let path = format!("{folder}/{token}");
            assert!(rig.disk.submit(path_work(code::OPEN, &path), f64::from(token)));
        }
        let mut tokens: Vec<u32> = Vec::new();
        for completion in rig.take(200) {
            assert!(completion.result >= 0);
            files::close(completion.result);
            tokens.push(completion.token as u32);
        }
        tokens.sort_unstable();
        assert_eq!(tokens, (0..200).collect::<Vec<u32>>());
        assert_eq!(rig.disk.pending(), 0);
        assert!(rig.disk.close(Duration::from_secs(10)));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn batches_run_in_order_although_other_work_is_slow() {
    let rig = Rig::new(191, 2);
    let folder = folder("order");
    fault::set(191, vec![code::FSYNC_FOLDER], fault::Kind::Delay(20), 0);
    for token in 0..6 {
        rig.disk
            .submit(path_work(code::FSYNC_FOLDER, &folder), 100.0 + f64::from(token));
        let entries = vec![Entry {
            code: code::FSTAT,
            fd: 1,
            ..Entry::default()
        }];
        rig.disk
            .submit(Work::Batch { first: 0, entries }, f64::from(token));
    }
    let tokens: Vec<f64> = rig.take(12).iter().map(|completion| completion.token).collect();
    let batches: Vec<f64> = tokens.into_iter().filter(|&token| token < 100.0).collect();
    assert_eq!(batches, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    fault::clear(191);
    assert!(rig.disk.close(Duration::from_secs(10)));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_stuck_thread_makes_close_answer_false_and_abandon_frees_it() {
    let rig = Rig::new(192, 1);
    fault::set(192, vec![], fault::Kind::Hang, 0);
    rig.disk.submit(
        Work::Fd {
            code: code::FSYNC,
            fd: 1,
            a: 0.0,
            b: 0.0,
        },
        1.0,
    );
    assert!(!rig.disk.close(Duration::from_millis(50)));
    assert!(rig.disk.abandon(Duration::from_secs(10)));
    fault::clear(192);
}

#[test]
fn a_panic_is_the_failure_of_one_operation() {
    let rig = Rig::new(193, 1);
    rig.disk.submit(
        Work::Fd {
            code: files::PANICS,
            fd: 1,
            a: 0.0,
            b: 0.0,
        },
        1.0,
    );
    let entries = vec![Entry {
        code: files::PANICS,
        ..Entry::default()
    }];
    rig.disk.submit(Work::Batch { first: 3, entries }, 2.0);
    rig.disk.submit(
        Work::Fd {
            code: code::FSTAT,
            fd: 1,
            a: 0.0,
            b: 0.0,
        },
        3.0,
    );
    let mut taken = rig.take(3);
    taken.sort_by(|a, b| a.token.total_cmp(&b.token));
    assert_eq!(taken[0].result, -libc::EIO);
    let (first, entries) = taken[1].batch.take().unwrap();
    assert_eq!((first, entries[0].result), (3, -libc::EIO));
    assert_eq!(taken[2].result, 0);
    assert!(rig.disk.close(Duration::from_secs(10)));
}

#[test]
fn a_full_queue_refuses() {
    let rig = Rig::new(194, 1);
    fault::set(194, vec![], fault::Kind::Hang, 0);
    let work = || Work::Fd {
        code: code::FSTAT,
        fd: 1,
        a: 0.0,
        b: 0.0,
    };
    let taken = (0..QUEUE_MAX + 2)
        .filter(|_| rig.disk.submit(work(), 0.0))
        .count();
    // The thread may have taken one of them off the queue already.
    assert!((QUEUE_MAX..=QUEUE_MAX + 1).contains(&taken));
    fault::clear(194);
    rig.take(taken);
    assert!(rig.disk.close(Duration::from_secs(10)));
}
