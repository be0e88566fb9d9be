/* Feeds the seeds of a fuzzer through its entry point, so that the corpus runs wherever the tests
 * run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    if (!f) {
        return 0;
    }
    size_t cap = 1 << 20;
    uint8_t *data = malloc(cap);
    size_t n = data ? fread(data, 1, cap, f) : 0;
    (void)fclose(f);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 1;
}

int main(int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            files += replay_file(argv[i]);
            continue;
        }
        for (struct dirent *e; (e = readdir(dir));) {
            char path[4096];
            if (e->d_name[0] != '.' &&
                snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name) < (int)sizeof(path)) {
                files += replay_file(path);
            }
        }
        closedir(dir);
    }
    printf("%d seeds replayed\n", files);
    return files ? 0 : 1; /* an empty corpus is a mistake, not a pass */
}
