/* Runs one routine for requests that come from standard input, each until its answer is written to standard output.
 *
 * A request is, in 64-bit integers: how many words and pieces of memory there are, the first and the last task, and how
 * many tasks make a chunk; then, for every word, the piece that it points into (or -1) and its value (or its distance
 * from the piece's start); then, for every piece, its size and its place in a page; then the pieces' contents. The
 * answer is one integer, zero if the floating-point mode is as it was, and the contents.
 *
 * Pages that cannot be touched stand before and behind every piece. Chunks are run from the last to the first.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE 4096
#define MOST 256

void routine(int64_t *args, int64_t first, int64_t last);

static void whole(int wanted)
{
    if (!wanted)
        abort();
}

static uint64_t mode(void)
{
    uint64_t value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
}

int main(void)
{
    struct { int64_t words, pieces, first, last, chunk; } head;
    while (fread(&head, sizeof head, 1, stdin) == 1) {
        int64_t pairs[2 * MOST], shapes[2 * MOST], args[MOST];
        char *rooms[MOST];
        whole(head.words <= MOST && head.pieces <= MOST);
        whole(fread(pairs, 16, head.words, stdin) == (size_t)head.words);
        whole(fread(shapes, 16, head.pieces, stdin) == (size_t)head.pieces);
        for (int64_t i = 0; i < head.pieces; i++) {
            int64_t size = shapes[2 * i], place = shapes[2 * i + 1];
            int64_t inner = (place + size + PAGE - 1) / PAGE * PAGE;
            rooms[i] = mmap(NULL, inner + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            whole(rooms[i] != MAP_FAILED && mprotect(rooms[i] + PAGE, inner, PROT_READ | PROT_WRITE) == 0);
            whole(fread(rooms[i] + PAGE + place, 1, size, stdin) == (size_t)size);
        }
        for (int64_t i = 0; i < head.words; i++) {
            int64_t piece = pairs[2 * i], value = pairs[2 * i + 1];
            args[i] = piece < 0 ? value : (int64_t)(rooms[piece] + PAGE + shapes[2 * piece + 1]) + value;
        }
        uint64_t before = mode();
        for (int64_t end = head.last; end > head.first; end -= head.chunk)
            routine(args, end - head.chunk > head.first ? end - head.chunk : head.first, end);
        int64_t changed = mode() != before;
        whole(fwrite(&changed, sizeof changed, 1, stdout) == 1);
        for (int64_t i = 0; i < head.pieces; i++) {
            int64_t size = shapes[2 * i], place = shapes[2 * i + 1];
            int64_t inner = (place + size + PAGE - 1) / PAGE * PAGE;
            whole(fwrite(rooms[i] + PAGE + place, 1, size, stdout) == (size_t)size);
            munmap(rooms[i], inner + 2 * PAGE);
        }
        whole(fflush(stdout) == 0);
    }
    return 0;
}
