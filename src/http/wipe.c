/* SPDX-License-Identifier: Apache-2.0 */
#include "http/wipe.h"

#include "base/secret.h"

#include <malloc.h>
#include <stdlib.h>

#include <jansson.h>

void *wipe_malloc(size_t size)
{
	return malloc(size);
}

void wipe_free(void *p)
{
	if (!p)
		return;
	mem_wipe(p, malloc_usable_size(p));
	free(p);
}

static void *pb_alloc(void *user, size_t size)
{
	(void)user;
	return wipe_malloc(size);
}

static void pb_free(void *user, void *p)
{
	(void)user;
	wipe_free(p);
}

ProtobufCAllocator wipe_allocator = { .alloc = pb_alloc, .free = pb_free };

void wipe_jansson(void)
{
	json_set_alloc_funcs(wipe_malloc, wipe_free);
}
