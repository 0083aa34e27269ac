// A plugin that refers to the function or variable CALLS, or that defines `malloc` (DEFINES_MALLOC). What most plugins in C call is in ORDINARY.
#define _GNU_SOURCE
#include <argz.h>
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <dynvm/dynvm.h>

void proxy_abi_version_0_2_1(void) {}

#ifdef DEFINES_MALLOC
void *malloc(size_t size) {
  static char memory[64];
  return size <= sizeof memory ? memory : 0;
}
#endif

#ifdef CALLS
const void *referred(void) { return (const void *)CALLS; }
#endif

#ifdef ORDINARY
double ordinary(const char *text, struct stat *info, pthread_mutex_t *lock) {
  char line[100];
  time_t now = time(0);
  FILE *file = fopen(text, "r");
  if (!file || fstat(fileno(file), info) || !fgets(line, sizeof line, file)) fprintf(stderr, "%s: %s", text, strerror(errno));
  pthread_mutex_lock(lock);
  int size = snprintf(line, sizeof line, "%ld %d %s", strtol(text, 0, 10), toupper(*text), ctime(&now));
  pthread_mutex_unlock(lock);
  qsort(line, size, 1, (int (*)(const void *, const void *))strcmp);
  if (file) fclose(file);
  return strtod(strdup(text), 0) + open(text, O_RDONLY) + send(0, text, strlen(text), 0) + isspace(rand());
}
#endif

const void *allocator(void) { return (const void *)calloc; }
