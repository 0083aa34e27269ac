// A plugin at the edges of containment: with each request it does what its configuration names, and logs a result where it survives that.
#define _GNU_SOURCE
#include <dynvm/dynvm.h>

#include <errno.h>
#include <link.h>
#include <locale.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BAD ((void *)hidden(0x18))

// A number that the compiler does not know.
static unsigned long hidden(unsigned long value) {
  __asm__ volatile("" : "+r"(value));
  return value;
}

static char configuration[256];
static char text[4096];
static volatile unsigned long kept;

void proxy_abi_version_0_2_1(void) {}

void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

static void say(const char *what) { proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)what, strlen(what)); }

static void crash(void) { *(volatile int *)BAD = 1; }

static int compare_crash(const void *a, const void *b) {
  (void)a, (void)b;
  crash();
  return 0;
}

static int compare_abort(const void *a, const void *b) {
  (void)a, (void)b;
  abort();
}

static int object_crash(struct dl_phdr_info *info, size_t size, void *data) {
  (void)info, (void)size, (void)data;
  crash();
  return 0;
}

static int object_abort(struct dl_phdr_info *info, size_t size, void *data) {
  (void)info, (void)size, (void)data;
  abort();
}

static int object_exit(struct dl_phdr_info *info, size_t size, void *data) {
  (void)info, (void)size, (void)data;
  exit(7);
}

__attribute__((noinline)) static unsigned long recurse(unsigned long depth) {
  volatile char frame[512];
  frame[0] = (char)depth;
  return recurse(depth + 1) + (unsigned long)frame[0];
}

__attribute__((noinline)) static unsigned long recurse_hostcall(unsigned long depth) {
  uint64_t now = 0;
  proxy_get_current_time_nanoseconds(&now);
  return recurse_hostcall(depth + 1) + now;
}

__attribute__((noinline)) static unsigned long recurse_malloc(unsigned long depth) {
  char *block = (char *)hidden((unsigned long)malloc(16));
  block[0] = (char)depth;
  unsigned long below = recurse_malloc(depth + 1);
  free(block);
  return below + 1;
}

__attribute__((noinline)) static unsigned long recurse_snprintf(unsigned long depth) {
  char number[32];
  snprintf(number, sizeof number, "%lu %f", depth, (double)depth);
  return recurse_snprintf(depth + 1) + (unsigned long)number[0];
}

__attribute__((noinline)) static unsigned long recurse_strlen(unsigned long depth) {
  volatile char frame[64] = "text";
  return strlen((const char *)frame) + recurse_strlen(depth + 1);
}

static void say_status(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) snprintf(text, sizeof text, "the child exited with %d", WEXITSTATUS(status));
  else snprintf(text, sizeof text, "the child ended by signal %d", WTERMSIG(status));
  say(text);
}

static void *thread_forks(void *data) {
  pid_t child = fork();
  if (child == 0) _exit(5);
  *(pid_t *)data = child;
  return NULL;
}

#ifdef __x86_64__
static void set_arithmetic(unsigned mxcsr, unsigned short x87) {
  __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(x87));
}
#endif

static int is(const char *how) { return strcmp(configuration, how) == 0; }

// True if this is a child, which then returns from the callback.
static int fails(void) {
  // Faults in functions of the C library.
  if (is("memcpy")) memcpy(text, BAD, 100 + (kept & 1));
  if (is("memmove")) memmove(BAD, text, 100 + (kept & 1));
  if (is("strlen")) kept = strlen(BAD);
  if (is("strcpy")) strcpy(text, BAD);
  if (is("strstr")) kept = (unsigned long)strstr(BAD, "needle");
  if (is("strdup")) kept = (unsigned long)strdup(BAD);
  if (is("strncat")) strncat(text, BAD, 100);
  if (is("snprintf")) snprintf(text, sizeof text, "%s %d", (char *)BAD, 5);
  if (is("sscanf")) kept = (unsigned long)sscanf("word", "%s", (char *)BAD);
  if (is("printf")) printf("hello %s %d\n", (char *)BAD, 5);
  if (is("fwrite")) fwrite(BAD, 1, 100, stdout);
  if (is("getpwnam")) kept = (unsigned long)getpwnam(BAD);
  if (is("setlocale")) kept = (unsigned long)setlocale(LC_ALL, BAD);
  // Callbacks of the C library.
  int numbers[8] = {3, 1, 2, 5, 4, 8, 7, 6};
  if (is("qsort crash")) qsort(numbers, 8, sizeof(int), compare_crash);
  if (is("qsort abort")) qsort(numbers, 8, sizeof(int), compare_abort);
  if (is("dl_iterate_phdr crash")) dl_iterate_phdr(object_crash, NULL);
  if (is("dl_iterate_phdr abort")) dl_iterate_phdr(object_abort, NULL);
  if (is("dl_iterate_phdr exit")) dl_iterate_phdr(object_exit, NULL);
  // The end of the stack.
  if (is("recursion")) kept = recurse(0);
  if (is("recursion with hostcalls")) kept = recurse_hostcall(0);
  if (is("recursion with malloc")) kept = recurse_malloc(0);
  if (is("recursion with snprintf")) kept = recurse_snprintf(0);
  if (is("recursion with strlen")) kept = recurse_strlen(0);
  // Child processes.
  if (!strncmp(configuration, "fork", 4)) {
    pid_t child = fork();
    if (child) say_status(child);
    else if (is("fork, _exit")) _exit(3);
    else if (is("fork, exit")) exit(3);
    else if (is("fork, exec fails")) execl("/nonexistent", "nonexistent", NULL), _exit(127);
    else if (is("fork, abort")) abort();
    else if (is("fork, crash")) crash();
    else if (is("fork, recursion with hostcalls")) kept = recurse_hostcall(0);
    else if (is("fork, hostcall")) say("said by the child"), _exit(4);
    else if (is("fork, return")) return 1;
  }
  if (is("vfork, _exit")) {
    pid_t child = vfork();
    if (child == 0) _exit(3);
    say_status(child);
  }
  if (is("vfork, exec fails")) {
    pid_t child = vfork();
    if (child == 0) execl("/nonexistent", "nonexistent", NULL), _exit(127);
    say_status(child);
  }
  if (is("vfork, abort")) {
    pid_t child = vfork();
    if (child == 0) abort();
    say_status(child);
  }
  if (is("thread forks")) {
    pthread_t thread;
    pid_t child = 0;
    pthread_create(&thread, NULL, thread_forks, &child);
    pthread_join(thread, NULL);
    say_status(child);
  }
  // Signals.
  if (is("raise SIGSEGV")) raise(SIGSEGV);
  if (is("raise SIGFPE")) raise(SIGFPE);
#ifdef __x86_64__
  if (is("breakpoint")) __asm__ volatile("int3");
#else
  if (is("breakpoint")) __asm__ volatile("brk #0");
#endif
  if (is("signal SIG_DFL")) signal(SIGSEGV, SIG_DFL);
  if (is("block SIGUSR1, crash") || is("block SIGUSR1, abort")) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (is("block SIGUSR1, abort")) abort();
    crash();
  }
  if (is("crash")) crash();
  if (is("pthread_exit")) pthread_exit(NULL);
#ifdef __x86_64__
  // Floating point, and flags: rounding downwards, exceptions unmasked, in both units.
  if (!strncmp(configuration, "rounding", 8)) set_arithmetic(0x3f80, 0x77f);
  if (!strncmp(configuration, "unmasked", 8)) set_arithmetic(0x0000, 0x340);
  const char *comma = strchr(configuration, ',');
  int crashes = comma && !strcmp(comma, ", then crash"), aborts = comma && !strcmp(comma, ", then abort");
  if (!strncmp(configuration, "direction", 9)) __asm__ volatile("std");
  if (!strncmp(configuration, "alignment", 9)) __asm__ volatile("sub $128, %%rsp; pushf; orl $0x40000, (%%rsp); popf; add $128, %%rsp" ::: "memory", "cc");
  if (crashes) crash();
  if (aborts) abort();
#endif
  // Addresses passed to functions that the loader answers.
  if (is("addresses")) {
    errno = 0;
    say(write(2, BAD, 100) < 0 && errno == EFAULT ? "write: EFAULT" : "write: ?");
    struct iovec part = {BAD, 100};
    errno = 0;
    say(writev(2, &part, 1) < 0 && errno == EFAULT ? "writev: EFAULT" : "writev: ?");
    errno = 0;
    say(writev(2, BAD, 1) < 0 && errno == EFAULT ? "writev of nothing: EFAULT" : "writev of nothing: ?");
  }
  if (is("write")) kept = (unsigned long)write(2, "written\n", 8);
  if (is("time")) kept = (unsigned long)time(NULL);
  return 0;
}

uint32_t proxy_on_configure(uint32_t id, size_t size) {
  (void)id;
  uint8_t *data = NULL;
  size_t length = 0;
  if (size > 0 && proxy_get_buffer_bytes(PROXY_BUFFER_TYPE_PLUGIN_CONFIGURATION, 0, size, &data, &length) == PROXY_STATUS_OK) {
    memcpy(configuration, data, length < sizeof configuration ? length : sizeof configuration - 1);
    free(data);
  }
  return 1;
}

proxy_filter_headers_status_t proxy_on_request_headers(uint32_t id, size_t count, uint32_t end) {
  (void)id, (void)count, (void)end;
  if (fails()) return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
  say("survived");
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}
