/* Every hook tool of a charm: its name is the base name of the link it is called by. `python3` is one, see python.c.
 *
 * It hands its arguments, and what it alone can read (standard input and files of the charm's container), to the agent
 * on a unix socket, prints the answer and exits with the agent's code. It is C because a hook calls tools up to 200
 * times, and the start of any larger run-time would cost more than the rest of the call.
 *
 * A message is a sequence of fields; a field is a letter, the length of its value in decimal, a colon, and the value.
 * The question has c (context), t (tool), a (each argument), i (standard input), and p and f (path and content of a
 * file); the answer o (output), e (errors) and x (exit code). Each side ends its message by closing that direction.
 */
#include "hooktool.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void stop(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	fputs("ERROR ", stderr);
	vfprintf(stderr, format, values);
	fputc('\n', stderr);
	va_end(values);
	exit(1);
}

void reserve(struct bytes *to, size_t more)
{
	if (to->size - to->length >= more)
		return;
	to->size = (to->length + more) * 2;
	to->data = realloc(to->data, to->size);
	if (!to->data)
		stop("not enough memory");
}

void add(struct bytes *to, char kind, const char *value, size_t length)
{
	reserve(to, length + 24);
	to->length += (size_t)sprintf(to->data + to->length, "%c%zu:", kind, length);
	memcpy(to->data + to->length, value, length);
	to->length += length;
}

/* Returns 0 when the file ended well, -1 with errno when it could not be read. */
static int read_all(int file, struct bytes *to)
{
	for (;;) {
		ssize_t got;

		reserve(to, 65536);
		got = read(file, to->data + to->length, to->size - to->length);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return (int)got;
		to->length += (size_t)got;
	}
}

static int write_all(int file, const char *data, size_t length)
{
	while (length) {
		ssize_t done = write(file, data, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		data += done;
		length -= (size_t)done;
	}
	return 0;
}

/* A file that cannot be read is left out: only the agent knows whether the argument means a file at all. */
static void add_file(struct bytes *question, const char *tool, const char *path)
{
	struct bytes content = {0};

	if (!strcmp(path, "-")) {
		if (read_all(STDIN_FILENO, &content))
			stop("%s: cannot read standard input: %s", tool, strerror(errno));
		add(question, 'i', content.data ? content.data : "", content.length);
	} else {
		int file = open(path, O_RDONLY | O_CLOEXEC);

		if (file < 0)
			return;
		if (!read_all(file, &content)) {
			add(question, 'p', path, strlen(path));
			add(question, 'f', content.data ? content.data : "", content.length);
		}
		close(file);
	}
	free(content.data);
}

/* Adds what "--file PATH", "--file=PATH" and "key#file=PATH" name; "-" is standard input in the first two only. */
static void add_inputs(struct bytes *question, const char *tool, char **arguments)
{
	for (; *arguments; arguments++) {
		const char *argument = *arguments, *flag = argument, *path;

		while (*flag == '-' && flag - argument < 2)
			flag++;
		if (flag > argument && !strcmp(flag, "file") && arguments[1])
			add_file(question, tool, *++arguments);
		else if (flag > argument && !strncmp(flag, "file=", 5))
			add_file(question, tool, flag + 5);
		else if (flag == argument && (path = strstr(argument, "#file=")) && strcmp(path + 6, "-"))
			add_file(question, tool, path + 6);
	}
}

/* Prints the answer and returns the exit code, -1 when it is not whole. */
static int show(const struct bytes *answer)
{
	const char *at = answer->data, *end = answer->data + answer->length;
	int code = -1;

	while (at && at < end) {
		char kind = *at++, *value;
		size_t length = strtoul(at, &value, 10);

		if (value == at || *value != ':' || length > (size_t)(end - value - 1))
			return -1;
		value++;
		if (kind == 'o' && write_all(STDOUT_FILENO, value, length))
			stop("cannot write: %s", strerror(errno));
		if (kind == 'e')
			write_all(STDERR_FILENO, value, length);
		if (kind == 'x')
			code = atoi(value);
		at = value + length;
	}
	return code;
}

const char *ask(const char *path, const struct bytes *question, struct bytes *answer)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int agent;

	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return "the agent of this unit cannot be reached";
	}
	strcpy(address.sun_path, path);
	agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (agent < 0 || connect(agent, (struct sockaddr *)&address, sizeof address))
		return "the agent of this unit does not answer (it restarts by itself)";
	if (write_all(agent, question->data, question->length) || shutdown(agent, SHUT_WR))
		return "the agent of this unit went away";
	/* The agent closes the socket after its answer; an end before is an answer that is not whole. */
	if (read_all(agent, answer))
		return "the agent of this unit went away before it answered";
	close(agent);
	reserve(answer, 1);
	answer->data[answer->length] = '\0';
	return NULL;
}

int main(int count, char **arguments)
{
	const char *context = getenv("JUJU_CONTEXT_ID"), *path = getenv("JUJU_AGENT_SOCKET_ADDRESS");
	struct bytes question = {0}, answer = {0};
	const char *tool, *failure;
	int code;

	tool = count ? basename(arguments[0]) : "a hook tool";
	if (!strncmp(tool, "python", 6))
		run_python(count, arguments);
	if (!context || !*context || !path || !*path)
		stop("%s works only inside a hook: JUJU_CONTEXT_ID and JUJU_AGENT_SOCKET_ADDRESS must be set", tool);
	add(&question, 'c', context, strlen(context));
	add(&question, 't', tool, strlen(tool));
	for (int i = 1; i < count; i++)
		add(&question, 'a', arguments[i], strlen(arguments[i]));
	if (count)
		add_inputs(&question, tool, arguments + 1);
	failure = ask(path, &question, &answer);
	if (failure)
		stop("%s: %s: %s", tool, failure, strerror(errno));
	code = show(&answer);
	if (code < 0)
		stop("%s: the agent of this unit went away before it answered", tool);
	return code;
}
