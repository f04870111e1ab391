/* SPDX-License-Identifier: BSD-2-Clause */
/* text.c: see text.h. */
#include "base/text.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static int object_populate(struct dl_phdr_info *object, size_t size, void *arg)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)arg;
	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &object->dlpi_phdr[i];
		uintptr_t from = (object->dlpi_addr + h->p_vaddr) & ~(page - 1);
		uintptr_t to = object->dlpi_addr + h->p_vaddr + h->p_memsz;

		if (h->p_type == PT_LOAD && h->p_flags & PF_X)
			madvise((void *)from, to - from, MADV_POPULATE_READ);
	}
	return 0;
}

void text_populate(void)
{
	dl_iterate_phdr(object_populate, NULL);
}
