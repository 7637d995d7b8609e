/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum rc secret_new(struct secret *out, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t mapped = (len / page + 1) * page;
	void *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return RC_NOMEM;
	/* RLIMIT_MEMLOCK may be small for an unprivileged user: the dump exclusion still holds. */
	(void)mlock(p, mapped);
	if (madvise(p, mapped, MADV_DONTDUMP) != 0) {
		munmap(p, mapped);
		return RC_INTERNAL;
	}
	*out = (struct secret){ .bytes = p, .len = len, .mapped = mapped };
	return RC_OK;
}

enum rc secret_from(struct secret *out, const void *bytes, size_t len)
{
	enum rc rc = secret_new(out, len);

	if (rc == RC_OK && len > 0)
		memcpy(out->bytes, bytes, len);
	return rc;
}

static enum rc read_exactly(int fd, uint8_t *to, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, to + got, len - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RC_IO;
		got += (size_t)n;
	}
	return RC_OK;
}

enum rc secret_read_file(struct secret *out, const char *path, size_t max)
{
	struct secret s = { 0 };
	struct stat st;
	enum rc rc = RC_IO;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? RC_NOT_FOUND : RC_IO;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		goto out;
	rc = RC_DENIED;
	if (st.st_mode & 077)
		goto out;
	rc = RC_TOO_LARGE;
	if (st.st_size < 0 || (size_t)st.st_size > max)
		goto out;
	rc = secret_new(&s, (size_t)st.st_size);
	if (rc == RC_OK)
		rc = read_exactly(fd, s.bytes, s.len);
	if (rc == RC_OK) {
		*out = s;
		s = (struct secret){ 0 };
	}
out:
	secret_free(&s);
	close(fd);
	return rc;
}

void secret_free(struct secret *s)
{
	if (!s || !s->bytes)
		return;
	mem_wipe(s->bytes, s->len);
	munmap(s->bytes, s->mapped);
	*s = (struct secret){ 0 };
}

bool secret_equal(const struct secret *a, const void *bytes, size_t len)
{
	return a->len == len && mem_equal_ct(a->bytes, bytes, len);
}

bool mem_equal_ct(const void *a, const void *b, size_t len)
{
	const volatile uint8_t *x = a, *y = b;
	uint8_t diff = 0;

	for (size_t i = 0; i < len; i++)
		diff = (uint8_t)(diff | (x[i] ^ y[i]));
	return diff == 0;
}

void mem_wipe(void *p, size_t len)
{
	if (len > 0)
		explicit_bzero(p, len);
}

enum rc secret_harden_process(void)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return RC_INTERNAL;
	return RC_OK;
}
