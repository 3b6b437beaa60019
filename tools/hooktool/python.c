/* The `python3` that a charm's dispatch finds: it has a hook run by the unit's warm interpreter (sitecustomize.py).
 *
 * The warm interpreter is started by the first hook, with that hook's arguments and environment, and forks for each.
 * This program gives the fork its place, the files 0 to 2 and the signals that it gets itself, and ends as the fork
 * ends. When one of the two dies, the other one kills the fork and everything that it started. Whatever is not a
 * hook's own start of its charm, or finds no warm interpreter that fits, becomes the real interpreter.
 *
 * Messages, one a packet: "h" here I am; back, with the files: directory, umask, number of arguments, arguments and
 * environment, each ending in a zero; "n" not me, or "y" and the process group: from here on the hook runs; back:
 * numbers of signals; at last "x" and the exit code or "k" and the signal, then a space and the CPU seconds it took.
 */
#define _GNU_SOURCE
#include "hooktool.h"

#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A warm interpreter that does not answer in this time is stuck. */
#define PATIENCE_SECONDS 10

/* The warm interpreter gets its files as these numbers; see sitecustomize.py. */
enum { LISTENER = 3, OUTPUT = 4 };

static char *path_of(const char *directory, size_t length, const char *name)
{
	char *path = malloc(length + strlen(name) + 2);

	if (!path)
		stop("not enough memory");
	memcpy(path, directory, length);
	path[length] = '/';
	strcpy(path + length + 1, name);
	return path;
}

/* Returns the next python3 on the PATH that is not this program. */
static const char *real_python(void)
{
	const char *at = getenv("PATH");
	struct stat self, found;

	if (!at)
		at = "/usr/bin:/bin";
	if (stat("/proc/self/exe", &self))
		self.st_ino = 0;
	for (;;) {
		size_t length = strcspn(at, ":");
		char *path = path_of(length ? at : ".", length ? length : 1, "python3");

		if (!stat(path, &found) && !(found.st_dev == self.st_dev && found.st_ino == self.st_ino) &&
		    S_ISREG(found.st_mode) && !access(path, X_OK))
			return path;
		free(path);
		if (!at[length])
			stop("there is no python3 on the PATH");
		at += length + 1;
	}
}

/* The name by which an interpreter knows its virtual environment stays; it must not find itself by ours. */
static int names_environment(const char *name)
{
	const char *end = strrchr(name, '/');
	char *mark;
	int found;

	if (!end)
		return 0;
	mark = path_of(name, (size_t)(end - name), "../pyvenv.cfg");
	found = !access(mark, R_OK);
	free(mark);
	return found;
}

/* Whether this is how a hook starts its charm: a file and nothing else, with the files that the engine gives. */
static int starts_hook(int count, char **arguments)
{
	const char *path = getenv("JUJU_DISPATCH_PATH");
	struct stat in, out, error;

	return count == 2 && *arguments[1] && *arguments[1] != '-' && path && *path && !getenv("OPERATOR_DISPATCH") &&
	       getenv("JUJU_CONTEXT_ID") && getenv("JUJU_AGENT_SOCKET_ADDRESS") && !fstat(STDIN_FILENO, &in) &&
	       S_ISCHR(in.st_mode) && in.st_rdev == makedev(1, 3) && !fstat(STDOUT_FILENO, &out) &&
	       S_ISFIFO(out.st_mode) && !fstat(STDERR_FILENO, &error) && S_ISFIFO(error.st_mode);
}

static int reach(const struct sockaddr_un *address)
{
	int warm = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (warm >= 0 && connect(warm, (const struct sockaddr *)address, sizeof *address)) {
		close(warm);
		return -1;
	}
	return warm;
}

/* Becomes the warm interpreter: called as the hook's own, its environment without what belongs to the one hook. */
static void be_warm(const char *python, char **arguments, const char *code, int listener, const int *output)
{
	const char *others = getenv("PYTHONPATH");
	char **kept, *path;
	size_t count = 0;
	int files[5] = {open("/dev/null", O_RDWR), output[1], output[1], listener, output[0]};

	setsid();
	for (int i = 0; i < 5; i++)
		files[i] = fcntl(files[i], F_DUPFD, 5);
	for (int i = 0; i < 5; i++)
		if (dup2(files[i], i) < 0)
			return;
	close_range(5, ~0U, 0);
	while (environ[count])
		count++;
	kept = calloc(count + 3, sizeof *kept);
	if (!kept || asprintf(&path, "PYTHONPATH=%s%s%s", code, others ? ":" : "", others ? others : "") < 0)
		return;
	count = 0;
	for (char **one = environ; *one; one++)
		if (strncmp(*one, "JUJU_", 5) && strncmp(*one, "PYTHONPATH=", 11))
			kept[count++] = *one;
	kept[count++] = path;
	/* By this the engine knows what hooks left running. */
	kept[count++] = "JUJU_CONTEXT_ID=warm";
	execve(python, arguments, kept);
}

/* Starts the warm interpreter; its socket can be reached at once. */
static void start(const char *python, char **arguments, const struct sockaddr_un *address)
{
	char self[256], *code;
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	int listener, output[2];
	mode_t mask;
	pid_t child;

	if (length < 0)
		return;
	self[length] = '\0';
	dirname(self);
	code = path_of(self, strlen(self), "warm/sitecustomize.py");
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	/* Without our code it would go on and run the charm. */
	if (access(code, R_OK) || listener < 0 || pipe2(output, O_CLOEXEC))
		return;
	unlink(address->sun_path);
	mask = umask(0177);
	if (!bind(listener, (const struct sockaddr *)address, sizeof *address) && !listen(listener, 8)) {
		umask(mask);
		child = fork();
		if (!child) {
			if (!fork())
				be_warm(python, arguments, dirname(code), listener, output);
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	umask(mask);
	close(listener);
	close(output[0]);
	close(output[1]);
}

static void add_text(struct bytes *to, const char *text)
{
	size_t length = strlen(text) + 1;

	reserve(to, length);
	memcpy(to->data + to->length, text, length);
	to->length += length;
}

/* Sends what the hook is. */
static int send_hook(int warm, int count, char **arguments)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(3 * sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(3 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	const int files[3] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
	struct bytes text = {0};
	char *directory = getcwd(NULL, 0), number[32];
	mode_t mask = umask(0);

	umask(mask);
	if (!directory)
		return -1;
	add_text(&text, directory);
	sprintf(number, "%u", (unsigned)mask);
	add_text(&text, number);
	sprintf(number, "%d", count);
	add_text(&text, number);
	for (int i = 0; i < count; i++)
		add_text(&text, arguments[i]);
	for (char **one = environ; *one; one++)
		add_text(&text, *one);
	memcpy(CMSG_DATA(&control.header), files, sizeof files);
	struct iovec part = {text.data, text.length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	return sendmsg(warm, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* Ends as the hook ended, and tells the agent what the hook took: it was no child of this program. */
static void end(char kind, int number, const char *seconds)
{
	struct bytes question = {0}, answer = {0};
	const char *context = getenv("JUJU_CONTEXT_ID"), *tool = "python3";
	const struct rlimit none = {0, 0};
	sigset_t all;

	add(&question, 'c', context, strlen(context));
	add(&question, 't', tool, strlen(tool));
	add(&question, 'a', seconds, strlen(seconds));
	ask(getenv("JUJU_AGENT_SOCKET_ADDRESS"), &question, &answer);
	if (kind == 'x')
		_exit(number);
	setrlimit(RLIMIT_CORE, &none);
	signal(number, SIG_DFL);
	raise(number);
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	_exit(128 + number);
}

/* Follows the hook to its end; returns only when the connection is lost. */
static void follow(int warm, int signals)
{
	struct pollfd both[2] = {{warm, POLLIN, 0}, {signals, POLLIN, 0}};
	struct signalfd_siginfo got;
	char message[64], *seconds;
	ssize_t length;

	for (;;) {
		if (poll(both, 2, -1) < 0)
			continue;
		if (both[1].revents && read(signals, &got, sizeof got) == sizeof got) {
			length = sprintf(message, "%u", got.ssi_signo);
			send(warm, message, (size_t)length, MSG_NOSIGNAL);
		}
		if (!both[0].revents)
			continue;
		length = recv(warm, message, sizeof message - 1, 0);
		if (length <= 0)
			return;
		message[length] = '\0';
		seconds = strchr(message, ' ');
		if (!seconds)
			return;
		end(*message, atoi(message + 1), seconds + 1);
	}
}

/* Has the hook run by a warm interpreter; returns when it did not run. */
static void run_warm(int warm, int count, char **arguments)
{
	const struct timeval patience = {.tv_sec = PATIENCE_SECONDS}, forever = {0};
	sigset_t passed, before;
	char message[64];
	ssize_t length;
	int signals;

	setsockopt(warm, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (recv(warm, message, 1, 0) != 1 || *message != 'h')
		return;
	setsockopt(warm, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
	sigemptyset(&passed);
	for (const int *one = (const int[]){SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, 0}; *one; one++)
		sigaddset(&passed, *one);
	sigprocmask(SIG_BLOCK, &passed, &before);
	signals = signalfd(-1, &passed, SFD_CLOEXEC | SFD_NONBLOCK);
	length = signals < 0 || send_hook(warm, count, arguments) ? 0 : recv(warm, message, sizeof message - 1, 0);
	if (length > 1 && *message == 'y') {
		message[length] = '\0';
		follow(warm, signals);
		kill(-atoi(message + 1), SIGKILL);
		raise(SIGKILL);
	}
	close(signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void run_python(int count, char **arguments)
{
	const char *python = real_python(), *agent = getenv("JUJU_AGENT_SOCKET_ADDRESS");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int warm;

	if (!names_environment(arguments[0]))
		arguments[0] = (char *)python;
	if (starts_hook(count, arguments) && strrchr(agent, '/') &&
	    snprintf(address.sun_path, sizeof address.sun_path, "%.*s/python.socket", (int)(strrchr(agent, '/') - agent),
		     agent) < (int)sizeof address.sun_path) {
		warm = reach(&address);
		if (warm < 0) {
			start(python, arguments, &address);
			warm = reach(&address);
		}
		if (warm >= 0) {
			run_warm(warm, count, arguments);
			close(warm);
		}
	}
	execv(python, arguments);
	stop("cannot run %s", python);
}
