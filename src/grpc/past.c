/* SPDX-License-Identifier: ISC */
#include "grpc/past_internal.h"

void past_opened(struct past *p, uint32_t stream)
{
    if (stream <= p->last)
        return;
    if (stream > p->last + 2) {
        p->gaps[p->next_gap] = (struct past_gap){.from = p->last + 1, .to = stream - 1};
        p->next_gap = (uint8_t)((p->next_gap + 1) % PAST_GAPS);
    }
    p->last = stream;
}

void past_ended(struct past *p, uint32_t stream)
{
    p->ended[p->next_ended] = stream;
    p->next_ended = (uint8_t)((p->next_ended + 1) % PAST_ENDED);
}

bool past_is_ended(const struct past *p, uint32_t stream)
{
    for (int i = 0; i < PAST_ENDED; i++)
        if (p->ended[i] == stream)
            return true;
    return false;
}

bool past_is_left_out(const struct past *p, uint32_t stream)
{
    for (int i = 0; i < PAST_GAPS; i++)
        if (p->gaps[i].from <= stream && stream <= p->gaps[i].to)
            return true;
    return false;
}
