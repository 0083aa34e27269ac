// A correct plugin that uses memory of others, or leaves something of its own with the C library; and a few that damage their heap. With each
// request it does what its configuration names.
#define _GNU_SOURCE
#include <dynvm/dynvm.h>

#include <argz.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char configuration[256];
static pthread_key_t key;
static int counter;
static volatile int stop;
static pthread_t thread;

void proxy_abi_version_0_2_1(void) {}

void *proxy_on_memory_allocate(size_t size) { return malloc(size); }

static void say(const char *what) { proxy_log(PROXY_LOG_LEVEL_INFO, (const uint8_t *)what, strlen(what)); }

// A number that the compiler does not know.
static void *hidden(void *value) {
  __asm__ volatile("" : "+r"(value));
  return value;
}

static void end_of_value(void *value) {
  counter += *(int *)value;
  say("the value of a key ended");
}

static void at_exit(void) { say("at exit"); }

static void on_exit_with(int status, void *text) {
  (void)status;
  say(text);
}

static void handler(int signal) { counter = signal; }

static void *short_thread(void *argument) {
  free(argument);
  pthread_setspecific(key, &counter);
  void *mine = malloc(1000);
  memset(mine, 1, 1000);
  return mine;
}

static void *long_thread(void *argument) {
  while (!stop) {
    counter++;
    usleep(1000);
  }
  return argument;
}

// Streams over its memory are what others could keep (NO_STREAMS).
#ifndef NO_STREAMS
static FILE *lines(const char *text) { return fmemopen((void *)text, strlen(text), "r"); }

static void act_on_streams(const char *how) {
  if (!strcmp(how, "getline")) {
    FILE *file = lines("first\na much longer second line that does not fit into what the first one needed\nlast");
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) say(line);
    free(line);
    line = malloc(4);
    size = 4;
    rewind(file);
    if (getdelim(&line, &size, 't', file) > 0) say(line);
    free(line);
    fclose(file);
  } else if (!strcmp(how, "given")) {
    char *scanned = NULL, *printed = NULL, *written = NULL, *argz = NULL;
    size_t written_size = 0, argz_size = 0;
    sscanf("scanned text", "%ms", &scanned);
    if (asprintf(&printed, "%s again", scanned) < 0) abort();
    FILE *file = open_memstream(&written, &written_size);
    fprintf(file, "%s", printed);
    fclose(file);
    argz_create_sep("a:b", ':', &argz, &argz_size);
    void *address[4];
    char **symbols = backtrace_symbols(address, backtrace(address, 4));
    char *folder = getcwd(NULL, 0), *path = realpath("/proc/self/../self", NULL), *copy = strdup(written);
    copy = realloc(copy, 10000);
    say(copy);
    void *all[] = {scanned, printed, written, argz, symbols, folder, path, copy};
    for (size_t index = 0; index < sizeof all / sizeof *all; index++) free(all[index]);
  }
}
#else
static void act_on_streams(const char *how) { (void)how; }
#endif

static void act(const char *how) {
  act_on_streams(how);
  if (!strcmp(how, "key")) {
    counter = 1;
    pthread_key_create(&key, end_of_value);
    pthread_setspecific(key, &counter);
  } else if (!strcmp(how, "environment")) {
    static char variable[] = "DYNVM_LEFT_BEHIND=by a plugin";
    putenv(variable);
    say(getenv("DYNVM_LEFT_BEHIND"));
  } else if (!strcmp(how, "exit handlers")) {
    atexit(at_exit);
    at_quick_exit(at_exit);
    on_exit(on_exit_with, "on exit");
  } else if (!strcmp(how, "blocked")) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    *(volatile int *)hidden((void *)0x18) = 1;
  } else if (!strcmp(how, "signal stack")) {
    static char memory[1 << 16];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory}, old;
    say(sigaltstack(&stack, &old) == 0 ? "set" : errno == EPERM ? "not permitted" : "another error");
    if (sigaltstack(NULL, &old) != 0 || old.ss_sp == memory) say("not as before");
  } else if (!strcmp(how, "handler")) {
    signal(SIGUSR1, handler);
  } else if (!strcmp(how, "thread")) {
    pthread_key_create(&key, end_of_value);
    void *result = NULL;
    pthread_create(&thread, NULL, short_thread, malloc(100));
    pthread_join(thread, &result);
    free(result);
  } else if (!strcmp(how, "detached")) {
    pthread_create(&thread, NULL, long_thread, NULL);
    pthread_detach(thread);
  } else if (!strcmp(how, "double free")) {
    void *block = hidden(malloc(48));
    free(block);
    free(hidden(block));
  } else if (!strcmp(how, "wild free")) {
    char *block = hidden(malloc(48));
    free(hidden(block + 16));
  } else if (!strcmp(how, "free of a large block's middle")) {
    char *block = hidden(malloc(1 << 20));
    free(hidden(block + 4096));
  } else if (!strcmp(how, "allocates too much")) {
    say(malloc(1ul << 45) ? "as much as that" : "null");
  }
}

uint32_t proxy_on_configure(uint32_t id, size_t size) {
  (void)id, (void)size;
  uint8_t *data = NULL;
  size_t length = 0;
  if (proxy_get_buffer_bytes(PROXY_BUFFER_TYPE_PLUGIN_CONFIGURATION, 0, sizeof configuration - 1, &data, &length) == PROXY_STATUS_OK && data) {
    memcpy(configuration, data, length);
    free(data);
  }
  return 1;
}

proxy_filter_headers_status_t proxy_on_request_headers(uint32_t id, size_t count, uint32_t end) {
  (void)id, (void)count, (void)end;
  act(configuration);
  return PROXY_FILTER_HEADERS_STATUS_CONTINUE;
}
