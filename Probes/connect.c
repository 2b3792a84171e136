// Connects in every way that a program can, and says what it saw.
//
//   connect list                       the names of the cases
//   connect all NAME=ADDRESS:PORT …    all of them, several at a time, each in a process of its own
//   connect all only:CASE … NAME=…     these of them
//   connect CASE NAME=ADDRESS:PORT …   one of them, in this process
//
// A line is a step: the call, and fields of the form key=value. Nothing in it is by chance.

#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct row *const tables[] = {connecting_rows, waiting_rows, calling_rows, local_rows};
enum { TABLES = sizeof tables / sizeof *tables, AT_ONCE = 12, MOST = 256, PATIENCE = 25 };

static int open_descriptors(void) {
    DIR *listing = opendir("/proc/self/fd");
    int count = 0;
    if (listing == NULL) return -1;
    while (readdir(listing) != NULL) count++;
    closedir(listing);
    return count;
}

static void run(const struct row *row) {
    int before = open_descriptors();
    row->run(row);
    printf("descriptors left=%d\n", open_descriptors() - before);
}

/// A case in a process of its own, and what it says.
struct job {
    const struct row *row;
    pid_t pid;
    int output;
    char *text;
    size_t size;
    time_t deadline;
    bool isOver;
};

static void start(struct job *job, int count, char **words) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) exit(1);
    job->pid = fork();
    if (job->pid == 0) {
        char *arguments[MOST] = {"connect", (char *)job->row->name};
        for (int index = 0; index < count && index + 3 < MOST; index++) arguments[index + 2] = words[index];
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], 1);
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    close(ends[1]);
    job->output = ends[0];
    job->deadline = time(NULL) + PATIENCE;
}

/// Reads what there is; ends the job if that was all, or if it has taken too long.
static void follow(struct job *job) {
    char bytes[4096];
    ssize_t got = 0;
    if (time(NULL) >= job->deadline) kill(job->pid, SIGKILL);
    struct pollfd entry = {.fd = job->output, .events = POLLIN};
    if (poll(&entry, 1, 0) == 0) return;
    got = read(job->output, bytes, sizeof bytes);
    if (got > 0) {
        job->text = realloc(job->text, job->size + (size_t)got);
        memcpy(job->text + job->size, bytes, (size_t)got);
        job->size += (size_t)got;
        return;
    }
    int status = 0;
    waitpid(job->pid, &status, 0);
    close(job->output);
    job->isOver = true;
    if (status == 0) return;
    char *text = NULL;
    int length = WIFSIGNALED(status) ? asprintf(&text, "died signal=%s\n", sigabbrev_np(WTERMSIG(status)))
                                     : asprintf(&text, "exit status=%d\n", WEXITSTATUS(status));
    job->text = realloc(job->text, job->size + (size_t)length);
    memcpy(job->text + job->size, text, (size_t)length);
    job->size += (size_t)length;
    free(text);
}

/// Whether a case is wanted: any, or only those that words of the form "only:CASE" name.
static bool is_wanted(const struct row *row, int count, char **words) {
    bool isAny = true;
    for (int index = 0; index < count; index++) {
        if (strncmp(words[index], "only:", 5) != 0) continue;
        if (strcmp(words[index] + 5, row->name) == 0) return true;
        isAny = false;
    }
    return isAny;
}

static void run_all(int count, char **words) {
    static struct job jobs[MOST];
    int total = 0, started = 0, running = 0;
    for (int table = 0; table < TABLES; table++)
        for (const struct row *row = tables[table]; row->name != NULL; row++)
            if (is_wanted(row, count, words)) jobs[total++].row = row;
    while (started < total || running > 0) {
        while (started < total && running < AT_ONCE) {
            start(&jobs[started++], count, words);
            running++;
        }
        struct pollfd entries[AT_ONCE];
        int watched = 0;
        for (int index = 0; index < started; index++)
            if (!jobs[index].isOver) entries[watched++] = (struct pollfd){.fd = jobs[index].output, .events = POLLIN};
        poll(entries, (nfds_t)watched, 1000);
        running = 0;
        for (int index = 0; index < started; index++) {
            if (!jobs[index].isOver) follow(&jobs[index]);
            if (!jobs[index].isOver) running++;
        }
    }
    for (int index = 0; index < total; index++) {
        printf("case %s\n", jobs[index].row->name);
        fwrite(jobs[index].text, 1, jobs[index].size, stdout);
    }
}

int main(int count, char **words) {
    // Each line as a whole, so that nothing is printed twice after fork(2).
    setvbuf(stdout, NULL, _IOLBF, 4096);
    if (count >= 2 && strcmp(words[1], "all") == 0) {
        run_all(count - 2, words + 2);
        return 0;
    }
    for (int table = 0; table < TABLES && count >= 2; table++)
        for (const struct row *row = tables[table]; row->name != NULL; row++) {
            if (strcmp(words[1], "list") == 0) puts(row->name);
            if (strcmp(words[1], row->name) != 0) continue;
            read_targets(count - 2, words + 2);
            run(row);
            return 0;
        }
    return count >= 2 && strcmp(words[1], "list") == 0 ? 0 : 2;
}
