//! A plugin that uses much of the standard library.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::sync::{Condvar, Mutex, OnceLock, RwLock};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, panic, thread};

static SEEN: OnceLock<RwLock<HashMap<String, f64>>> = OnceLock::new();

#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_: u32, size: usize) -> u32 {
    let start = Instant::now();
    let work = || -> std::io::Result<f64> {
        let mut text = String::new();
        fs::File::open(env::temp_dir())?.read_to_string(&mut text)?;
        fs::create_dir_all(&text)?;
        for entry in fs::read_dir(&text)? {
            fs::rename(entry?.path(), fs::canonicalize(&text)?)?;
        }
        fs::write(&text, format!("{:?} {:?}", env::vars().collect::<BTreeMap<_, _>>(), SystemTime::now()))?;
        TcpStream::connect((text.as_str(), 80))?.write_all(text.as_bytes())?;
        UdpSocket::bind("127.0.0.1:0")?.send_to(text.as_bytes(), "127.0.0.1:9")?;
        let output = Command::new("true").arg(text).env("A", "b").output()?;
        Ok((output.stdout.len() as f64).powf(size as f64).sin().ln())
    };
    let value = panic::catch_unwind(work).ok().and_then(Result::ok).unwrap_or_default();
    let (lock, condition) = (Mutex::new(false), Condvar::new());
    let _ = condition.wait_timeout(lock.lock().unwrap(), Duration::from_millis(1));
    thread::sleep(start.elapsed());
    eprintln!("{:?} {:?}", thread::current().id(), std::backtrace::Backtrace::force_capture());
    SEEN.get_or_init(RwLock::default).write().unwrap().insert(value.to_string(), value);
    1
}
