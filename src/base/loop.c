/* SPDX-License-Identifier: ISC */
#include "base/loop.h"

#include "base/mem.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loop {
    struct event_base *base;
    struct event *wake;     /* readable when posted is not empty */
    struct event *turn_end; /* activated by hand: runs after what is ready now */
    int wake_fd;
    struct loop_hook *hooks; /* armed, in order; the loop's own */
    struct loop_hook **hooks_tail;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    struct queue_list posted; /* guarded by lock */
    bool stopping;            /* guarded by lock */
};

static void take_posted(struct loop *loop, struct queue_list *out, bool *stopping)
{
    pthread_mutex_lock(&loop->lock);
    for (struct queue_item *i; (i = queue_list_pop(&loop->posted)) != NULL;)
        queue_list_append(out, i);
    *stopping = loop->stopping;
    pthread_mutex_unlock(&loop->lock);
}

static void run_posted(evutil_socket_t fd, short events, void *arg)
{
    (void)events;
    struct loop *loop = arg;
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    struct queue_list tasks = QUEUE_LIST_INIT(tasks);
    bool stopping;
    take_posted(loop, &tasks, &stopping);
    for (struct queue_item *i; (i = queue_list_pop(&tasks)) != NULL;) {
        struct loop_task *task = (struct loop_task *)i;
        task->run(task);
    }
    if (stopping)
        event_base_loopexit(loop->base, NULL);
}

static void run_hooks(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct loop *loop = arg;
    while (loop->hooks != NULL) {
        struct loop_hook *hook = loop->hooks;
        loop->hooks = hook->next;
        if (loop->hooks == NULL)
            loop->hooks_tail = &loop->hooks;
        hook->armed = false;
        hook->run(hook->ctx);
    }
}

enum err loop_new(struct loop **out, struct err_text *why)
{
    struct loop *loop = mem_zalloc(1, sizeof *loop);
    loop->posted = QUEUE_LIST_INIT(loop->posted);
    loop->hooks_tail = &loop->hooks;
    pthread_mutex_init(&loop->lock, NULL);
    loop->base = event_base_new();
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->base != NULL && loop->wake_fd >= 0) {
        loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, run_posted, loop);
        loop->turn_end = event_new(loop->base, -1, 0, run_hooks, loop);
    }
    if (loop->wake == NULL || loop->turn_end == NULL || event_add(loop->wake, NULL) != 0) {
        loop_free(loop);
        return err_set(why, ERR_UNAVAILABLE, NULL, "cannot make an event loop");
    }
    *out = loop;
    return ERR_OK;
}

static void *loop_main(void *arg)
{
    struct loop *loop = arg;
    pthread_setname_np(pthread_self(), "loop");
    event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

enum err loop_start(struct loop *loop, struct err_text *why)
{
    /* Set before the thread exists: it is the thread itself that compares. */
    loop->started = true;
    if (pthread_create(&loop->thread, NULL, loop_main, loop) != 0) {
        loop->started = false;
        return err_set(why, ERR_UNAVAILABLE, NULL, "cannot start a loop thread");
    }
    return ERR_OK;
}

static void wake(struct loop *loop)
{
    static const uint64_t one = 1;
    while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void loop_stop(struct loop *loop)
{
    if (loop == NULL || !loop->started)
        return;
    pthread_mutex_lock(&loop->lock);
    loop->stopping = true;
    pthread_mutex_unlock(&loop->lock);
    wake(loop);
    pthread_join(loop->thread, NULL);
    loop->started = false;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->wake != NULL)
        event_free(loop->wake);
    if (loop->turn_end != NULL)
        event_free(loop->turn_end);
    if (loop->base != NULL)
        event_base_free(loop->base);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

void loop_assert_here(const struct loop *loop)
{
    if (loop->started && !pthread_equal(pthread_self(), loop->thread))
        abort();
}

void loop_post_all(struct loop *loop, struct queue_list *tasks)
{
    if (tasks->count == 0)
        return;
    pthread_mutex_lock(&loop->lock);
    bool was_empty = loop->posted.count == 0;
    for (struct queue_item *i; (i = queue_list_pop(tasks)) != NULL;)
        queue_list_append(&loop->posted, i);
    pthread_mutex_unlock(&loop->lock);
    if (was_empty)
        wake(loop);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    struct queue_list one = QUEUE_LIST_INIT(one);
    queue_list_append(&one, &task->item);
    loop_post_all(loop, &one);
}

struct call {
    struct loop_task task; /* first */
    void (*run)(void *ctx);
    void *ctx;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done; /* guarded by lock */
};

static void run_call(struct loop_task *task)
{
    struct call *call = (struct call *)task;
    call->run(call->ctx);
    pthread_mutex_lock(&call->lock);
    call->done = true;
    pthread_cond_signal(&call->over);
    pthread_mutex_unlock(&call->lock);
}

void loop_call(struct loop *loop, void (*run)(void *ctx), void *ctx)
{
    if (!loop->started || pthread_equal(pthread_self(), loop->thread)) {
        run(ctx);
        return;
    }
    struct call call = {.task.run = run_call, .run = run, .ctx = ctx};
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.over, NULL);
    loop_post(loop, &call.task);
    pthread_mutex_lock(&call.lock);
    while (!call.done)
        pthread_cond_wait(&call.over, &call.lock);
    pthread_mutex_unlock(&call.lock);
    pthread_cond_destroy(&call.over);
    pthread_mutex_destroy(&call.lock);
}

void loop_arm(struct loop *loop, struct loop_hook *hook)
{
    if (hook->armed)
        return;
    hook->armed = true;
    hook->next = NULL;
    if (loop->hooks == NULL)
        event_active(loop->turn_end, 0, 0);
    *loop->hooks_tail = hook;
    loop->hooks_tail = &hook->next;
}
