/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over every file of a folder, and over every truncation of
 * each, so that a corpus stays a regression test in normal builds. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define INPUT_MAX 65536

static int replay_file(const char *path)
{
	static uint8_t buf[INPUT_MAX];
	FILE *f = fopen(path, "rb");

	if (!f) {
		perror(path);
		return 1;
	}
	size_t len = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	for (size_t cut = 0; cut <= len; cut++) {
		/* An exact allocation lets the sanitizer see a read one past the end. */
		uint8_t *exact = malloc(cut ? cut : 1);
		if (!exact)
			return 1;
		memcpy(exact, buf, cut);
		LLVMFuzzerTestOneInput(exact, cut);
		free(exact);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int files = 0, bad = 0;
	struct dirent *e;
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;

	if (!dir) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return 2;
	}
	while ((e = readdir(dir))) {
		char path[4096];
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		bad += replay_file(path);
		files++;
	}
	closedir(dir);
	printf("%d inputs replayed\n", files);
	return bad || files == 0;
}
