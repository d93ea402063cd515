/* SPDX-License-Identifier: ISC */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

/* A bounded queue between threads. Items are linked through a struct queue_item
 * inside them and move in lists, so that a turn of a loop costs one lock however
 * many items it hands over. An item in the queue is owned by the queue.
 * Thread: any. */

#include <stdbool.h>
#include <stddef.h>

struct queue_item {
    struct queue_item *next;
};

/* A list of items that one thread owns. QUEUE_LIST_INIT(l) makes l empty. */
struct queue_list {
    struct queue_item *first;
    struct queue_item **tail;
    size_t count;
};

#define QUEUE_LIST_INIT(l) ((struct queue_list){.first = NULL, .tail = &(l).first, .count = 0})

void queue_list_append(struct queue_list *l, struct queue_item *item);

/* The first item, or NULL. */
struct queue_item *queue_list_pop(struct queue_list *l);

struct queue;

/* A queue that holds at most limit items. */
struct queue *queue_new(size_t limit);

/* The queue must be empty and no thread may be in it. */
void queue_free(struct queue *q);

/* Moves items from the front of *items until the queue is full or closed; what
 * did not fit stays in *items, in order. Never blocks on other than the lock. */
void queue_push(struct queue *q, struct queue_list *items);

/* Waits until there is something, then appends up to max items to *out.
 * False when the queue is closed and empty. */
bool queue_take(struct queue *q, size_t max, struct queue_list *out);

/* No more pushes; takers drain what is there and then get false. */
void queue_close(struct queue *q);

#endif
