// What sdjournal.go calls. All functions return 0 or more, or a negative errno.
#include <stddef.h>
#include <stdint.h>

struct sd_journal;

// A growing buffer of entries, encoded as decode.go says.
struct tapio_buffer {
	uint8_t *data;
	size_t len, cap;
};

// Loads libsystemd; NULL, or why not.
const char *tapio_load(void);
int tapio_open(int fd, size_t max_entry, struct sd_journal **ret);
void tapio_close(struct sd_journal *j);
int tapio_seek_head(struct sd_journal *j);
int tapio_seek_tail(struct sd_journal *j);
int tapio_seek_cursor(struct sd_journal *j, const char *cursor);
int tapio_seek_realtime(struct sd_journal *j, uint64_t usec);
// Appends up to max_entries to the buffer, fewer when it has max_bytes. cursor is that of the last one, to be freed.
int tapio_read(struct sd_journal *j, struct tapio_buffer *b, int max_entries, size_t max_bytes, size_t max_entry, char **cursor);
