/* A plugin with one use of each symbol that the loader replaces. `edited-x86_64.so` and `edited-aarch64.so` are this source:
 *
 *   clang-19 -target MACHINE-linux-gnu -shared -fPIC -nostdlib -fuse-ld=lld -O1 -w -Wl,-s edited.c -o edited-MACHINE.so
 */
void abort(void); void exit(int); void *malloc(unsigned long); void free(void *);
int __cxa_atexit(void (*)(void *), void *, void *);
int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
long write(int, const void *, unsigned long); long time(long *); int clock_gettime(int, void *);
long getrandom(void *, unsigned long, unsigned); char *getenv(const char *);
unsigned proxy_log(unsigned, const void *, unsigned long);
static void end(void *object) { free(object); }
__attribute__((constructor)) static void begin(void) { __cxa_atexit(end, malloc(1), 0); }
__attribute__((destructor)) static void last(void) { write(1, "", 0); }
void proxy_abi_version_0_2_1(void) {}
void proxy_on_tick(unsigned id) {
    __cxa_thread_atexit_impl(end, malloc(id), 0);
    if (proxy_log(2, 0, 0) || time(0) || clock_gettime(0, 0) || getrandom(0, 0, 0) || getenv(0)) abort();
    exit(1);
}
