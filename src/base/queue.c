/* SPDX-License-Identifier: ISC */
#include "base/queue.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>

struct queue {
    size_t limit;
    pthread_mutex_t lock;
    pthread_cond_t
        filled; /* signalled when there is something for a taker that waits, and at close */
    struct queue_list items; /* guarded by lock */
    size_t waiting;          /* takers asleep; guarded by lock */
    bool closed;             /* guarded by lock */
};

void queue_list_append(struct queue_list *l, struct queue_item *item)
{
    item->next = NULL;
    *l->tail = item;
    l->tail = &item->next;
    l->count++;
}

struct queue_item *queue_list_pop(struct queue_list *l)
{
    struct queue_item *item = l->first;
    if (item == NULL)
        return NULL;
    l->first = item->next;
    if (l->first == NULL)
        l->tail = &l->first;
    l->count--;
    item->next = NULL;
    return item;
}

struct queue *queue_new(size_t limit)
{
    struct queue *q = mem_zalloc(1, sizeof *q);
    q->limit = limit;
    q->items = QUEUE_LIST_INIT(q->items);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, NULL);
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    if (q->items.count > 0)
        abort();
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

void queue_push(struct queue *q, struct queue_list *items)
{
    pthread_mutex_lock(&q->lock);
    while (!q->closed && items->count > 0 && q->items.count < q->limit)
        queue_list_append(&q->items, queue_list_pop(items));
    if (q->waiting > 0 && q->items.count > 0)
        pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

bool queue_take(struct queue *q, size_t max, struct queue_list *out)
{
    pthread_mutex_lock(&q->lock);
    q->waiting++;
    while (q->items.count == 0 && !q->closed)
        pthread_cond_wait(&q->filled, &q->lock);
    q->waiting--;
    bool some = q->items.count > 0;
    for (size_t i = 0; i < max && q->items.count > 0; i++)
        queue_list_append(out, queue_list_pop(&q->items));
    if (q->items.count > 0 && q->waiting > 0)
        pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
    return some;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    pthread_mutex_unlock(&q->lock);
}
