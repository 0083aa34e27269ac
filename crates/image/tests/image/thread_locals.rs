//! Thread-local variables: of an image, and of threads that it starts.

use crate::compile;
use crate::load::{call, link, load, start};

/// Initialised, zero, aligned, a pointer that is relocated, and one that other files could see.
const SOURCE: &str = "
    static __thread int local = 10;
    static __thread long zero[100];
    __thread char aligned[64] __attribute__((aligned(256))) = {1};
    static int target = 3;
    static __thread int *pointer = &target;
    int next(void) { zero[99]++; return ++local + zero[99] + *pointer + ((unsigned long)aligned % 256) + aligned[0]; }
";

fn works_on_any_thread(arguments: &[&str]) {
    let linked = link(&compile::c(SOURCE, arguments));
    assert_eq!(linked.facts().pinned(), None);
    let (first, second) = (start(&linked), start(&linked));
    assert_eq!((call(&first, "next", 0), call(&first, "next", 0), call(&second, "next", 0)), (16, 18, 16));
    // The image moves to another thread, and back.
    let first = std::thread::spawn(move || {
        assert_eq!(call(&first, "next", 0), 20);
        first
    });
    assert_eq!(call(&first.join().unwrap(), "next", 0), 22);
}

#[needs::cc]
#[test]
fn variables_move_between_threads_with_their_image() {
    works_on_any_thread(&[]);
}

#[cfg(target_arch = "x86_64")]
#[needs::cc]
#[test]
fn descriptors_are_valid_on_any_thread() {
    works_on_any_thread(&["-mtls-dialect=gnu2"]);
}

#[needs::cc]
#[test]
fn initial_exec_variables_pin_an_image_to_its_thread() {
    let linked = link(&compile::c(SOURCE, &["-ftls-model=initial-exec"]));
    assert!(linked.facts().pinned().unwrap().to_string().contains("initial-exec"));
    // Many more than the system has static thread-local storage for.
    let images: Vec<_> = (0..100).map(|_| start(&linked)).collect();
    for image in &images {
        assert_eq!((call(image, "next", 0), call(image, "next", 0)), (16, 18));
    }
}

const THREADS: &str = "
    #include <pthread.h>
    static int target;
    static __thread int local = 10;
    static __thread int *pointer = &target;
    static __thread double fraction;
    static void *add(void *result) {
        double factor = 1.5;
        for (int i = 0; i < 1000; i++) { local++; fraction += factor; }
        *(int *)result = local + (pointer != 0) + (int)fraction;
        return 0;
    }
    int in_threads(int count) {
        pthread_t threads[16];
        int results[16], sum = 0;
        for (int i = 0; i < count; i++) pthread_create(&threads[i], 0, add, &results[i]);
        for (int i = 0; i < count; i++) { pthread_join(threads[i], 0); sum += results[i]; }
        return sum;
    }
    int own(void) { return ++local; }
";

fn each_thread_has_its_own(arguments: &[&str]) {
    let linked = link(&compile::c(THREADS, arguments));
    assert!(linked.facts().pinned().unwrap().to_string().contains("threads"));
    let (first, second) = (start(&linked), start(&linked));
    assert_eq!(call(&first, "own", 0), 11);
    assert_eq!(call(&first, "in_threads", 8), 8 * (1010 + 1 + 1500));
    assert_eq!(call(&second, "in_threads", 8), 8 * (1010 + 1 + 1500));
    assert_eq!((call(&first, "own", 0), call(&second, "own", 0)), (12, 11));
}

#[needs::cc]
#[test]
fn threads_of_an_image_have_their_own_variables() {
    each_thread_has_its_own(&[]);
}

#[cfg(target_arch = "x86_64")]
#[needs::cc]
#[test]
fn threads_of_an_image_have_their_own_variables_by_descriptors() {
    each_thread_has_its_own(&["-mtls-dialect=gnu2"]);
    // With all vector registers in use around a first access.
    let source = "#include <pthread.h>
        typedef float many __attribute__((vector_size(512)));
        static __thread int local = 1;
        static void *sum(void *result) {
            many values;
            for (int i = 0; i < 128; i++) values[i] = i;
            __asm__ volatile(\"\" : \"+m\"(values));
            many doubled = values + values;
            int own = local++;
            doubled = doubled + values * (float)own;
            float total = 0;
            for (int i = 0; i < 128; i++) total += doubled[i];
            *(int *)result = (int)total;
            return 0;
        }
        int in_thread(void) {
            pthread_t thread; int result;
            pthread_create(&thread, 0, sum, &result); pthread_join(thread, 0);
            return result;
        }";
    let image = load(&compile::c(source, &["-mtls-dialect=gnu2", "-O2", "-mavx2"]));
    assert_eq!(call(&image, "in_thread", 0), 3 * 128 * 127 / 2);
}

#[needs::cc]
#[test]
fn destructors_of_threads_still_find_their_variables() {
    let source = "#include <pthread.h>
        static __thread int local = 5;
        static int seen;
        static pthread_key_t key;
        static void destroy(void *value) { seen = local; }
        static void *work(void *_) { pthread_setspecific(key, &local); local = 17; return 0; }
        int in_destructor(void) {
            pthread_t thread;
            pthread_key_create(&key, destroy);
            pthread_create(&thread, 0, work, 0); pthread_join(thread, 0);
            pthread_key_delete(key);
            return seen;
        }";
    assert_eq!(call(&load(&compile::c(source, &[])), "in_destructor", 0), 17);
}

#[needs::cc]
#[test]
fn variables_of_ended_threads_are_freed() {
    let source = "#include <pthread.h>
        static __thread char large[1 << 20] = {1};
        static void *work(void *_) { for (unsigned i = 0; i < sizeof large; i += 4096) large[i]++; return 0; }
        int run(void) {
            pthread_t thread;
            for (int i = 0; i < 200; i++) { pthread_create(&thread, 0, work, 0); pthread_join(thread, 0); }
            return large[0];
        }";
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let image = load(&compile::c(source, &[]));
    let before = resident();
    assert_eq!(call(&image, "run", 0), 1);
    assert!(resident() < before + (100 << 20), "{before} bytes became {}", resident());
}

/// `std::call_once` reaches into thread-local variables of libstdc++.
const ONCE: &str = "
    #include <mutex>
    static std::once_flag flag;
    static thread_local int own = 3;
    static int count = 0;
    extern \"C\" int once(int by) { std::call_once(flag, [=] { count += by; }); return count + ++own; }
";

fn calls_once(arguments: &[&str]) {
    let linked = link(&compile::cpp(ONCE, arguments));
    assert_eq!(linked.facts().pinned(), None);
    let (first, second) = (start(&linked), start(&linked));
    assert_eq!((call(&first, "once", 10), call(&first, "once", 20), call(&second, "once", 30)), (14, 15, 34));
    let other = std::thread::spawn(move || call(&start(&linked), "once", 40));
    assert_eq!(other.join().unwrap(), 44);
    std::thread::spawn(move || assert_eq!(call(&first, "once", 20), 16)).join().unwrap();
}

#[needs::cxx]
#[test]
fn thread_local_variables_of_the_private_library_are_each_threads_own() {
    calls_once(&[]);
    // In an image with a block for each thread.
    let threads = "extern \"C\" int in_thread() { int r; std::thread([&] { r = once(5); }).join(); return r; }";
    let linked = link(&compile::cpp(&format!("{ONCE}\n#include <thread>\n{threads}"), &["-pthread"]));
    assert!(linked.facts().pinned().is_some());
    let image = start(&linked);
    assert_eq!((call(&image, "in_thread", 0), call(&image, "once", 1), call(&image, "in_thread", 0)), (9, 9, 9));
}

#[cfg(target_arch = "x86_64")]
#[needs::cxx]
#[test]
fn thread_local_variables_of_the_private_library_have_descriptors() {
    calls_once(&["-mtls-dialect=gnu2"]);
}
