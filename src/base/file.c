/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum rc read_all(int fd, uint8_t *buf, size_t cap, size_t *len)
{
	size_t got = 0;

	while (got < cap) {
		ssize_t n = read(fd, buf + got, cap - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return RC_IO;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*len = got;
	return RC_OK;
}

enum rc file_read(const char *path, size_t max, uint8_t **out, size_t *len, struct diag *d)
{
	struct stat st;
	uint8_t *buf = NULL;
	size_t got = 0;
	enum rc rc;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return diag_errno(d, errno == ENOENT ? RC_NOT_FOUND : RC_IO, "%s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		rc = diag_set(d, RC_IO, "%s: not a regular file", path);
		goto out;
	}
	if (st.st_size < 0 || (size_t)st.st_size > max) {
		rc = diag_set(d, RC_TOO_LARGE, "%s: larger than %zu bytes", path, max);
		goto out;
	}
	buf = malloc((size_t)st.st_size + 1);
	if (!buf) {
		rc = RC_NOMEM;
		goto out;
	}
	rc = read_all(fd, buf, (size_t)st.st_size, &got);
	if (rc != RC_OK) {
		diag_errno(d, rc, "%s", path);
		goto out;
	}
	buf[got] = '\0';
	*out = buf;
	*len = got;
	buf = NULL;
out:
	free(buf);
	close(fd);
	return rc;
}

static enum rc write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return RC_IO;
		bytes += n;
		len -= (size_t)n;
	}
	return RC_OK;
}

static enum rc sync_folder_of(const char *path)
{
	char copy[PATH_MAX];
	int fd;
	enum rc rc = str_copy(copy, sizeof(copy), path);

	if (rc != RC_OK)
		return rc;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return RC_IO;
	rc = fsync(fd) == 0 ? RC_OK : RC_IO;
	close(fd);
	return rc;
}

enum rc file_write_atomic(
	const char *path, const void *bytes, size_t len, mode_t mode, struct diag *d)
{
	char tmp[PATH_MAX];
	enum rc rc = str_format(tmp, sizeof(tmp), "%s.XXXXXX", path);
	int fd;

	if (rc != RC_OK)
		return diag_set(d, rc, "%s: path too long", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return diag_errno(d, RC_IO, "%s", path);
	rc = write_all(fd, bytes, len);
	if (rc == RC_OK && (fchmod(fd, mode) != 0 || fsync(fd) != 0))
		rc = RC_IO;
	if (close(fd) != 0)
		rc = RC_IO;
	if (rc == RC_OK && rename(tmp, path) != 0)
		rc = RC_IO;
	if (rc == RC_OK)
		rc = sync_folder_of(path);
	else
		(void)unlink(tmp);
	if (rc != RC_OK)
		diag_errno(d, rc, "%s", path);
	return rc;
}
