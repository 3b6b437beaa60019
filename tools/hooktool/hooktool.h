/* What the hook tools and the interpreter's client share. */
#ifndef HOOKTOOL_H
#define HOOKTOOL_H

#include <stddef.h>

struct bytes {
	char *data;
	size_t length, size;
};

/* Ends the program with an error for people. */
__attribute__((noreturn, format(printf, 1, 2))) void stop(const char *format, ...);

/* Makes room for so many more bytes. */
void reserve(struct bytes *to, size_t more);

/* Appends a field of a message to the agent. */
void add(struct bytes *to, char kind, const char *value, size_t length);

/* Puts a question to the agent at a socket; returns NULL and the answer with a zero behind it, or what failed. */
const char *ask(const char *path, const struct bytes *question, struct bytes *answer);

/* Runs Python as `python3` would, and ends as it ends. */
__attribute__((noreturn)) void run_python(int count, char **arguments);

#endif
