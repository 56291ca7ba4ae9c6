"""The manifest's tables and the statements on them, so that the columns stand in one place."""

_FIRST = """
CREATE TABLE roots (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL
);
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    root_id INTEGER NOT NULL REFERENCES roots(id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    source TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT -1,
    mtime_ns INTEGER NOT NULL DEFAULT 0,
    inode INTEGER NOT NULL DEFAULT 0,
    checked_ns INTEGER NOT NULL DEFAULT 0,
    content_hash TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    recipe TEXT NOT NULL DEFAULT '',
    indexed_at REAL NOT NULL DEFAULT 0,
    UNIQUE (root_id, path)
);
CREATE VIEW located AS
SELECT f.id, r.path AS root, f.path, f.source, f.size, f.mtime_ns, f.inode, f.checked_ns,
    f.content_hash, f.state, f.reason, f.recipe, f.indexed_at
FROM files f JOIN roots r ON r.id = f.root_id;
CREATE TABLE points (
    id TEXT PRIMARY KEY,
    file_id INTEGER NOT NULL REFERENCES files(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    content_hash TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    payload_hash TEXT
) WITHOUT ROWID;
CREATE INDEX points_of_file ON points(file_id);
CREATE INDEX points_by_content ON points(content_hash);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID
"""

_LEAVING = """
CREATE TABLE leaving (id TEXT PRIMARY KEY) WITHOUT ROWID
"""

_COUNTED = """
CREATE INDEX files_by_state ON files(state)
"""

MIGRATIONS = (_FIRST, _LEAVING, _COUNTED)
"""One script a version. A change is a new script at the end, never an edit."""

ROOTS = "SELECT path, device, inode FROM roots ORDER BY path"

KEEP_ROOT = """
INSERT INTO roots (path, device, inode) VALUES (?, ?, ?)
ON CONFLICT (path) DO UPDATE SET device = excluded.device, inode = excluded.inode
"""

SUMMARY = """
SELECT r.path, count(f.id) FILTER (WHERE f.state = 'indexed'),
    count(f.id) FILTER (WHERE f.state = 'failed'), count(f.id) FILTER (WHERE f.state = 'empty'),
    count(f.id) FILTER (WHERE f.state = 'pending'),
    (SELECT count(*) FROM points p JOIN files g ON g.id = p.file_id WHERE g.root_id = r.id),
    max(f.indexed_at)
FROM roots r LEFT JOIN files f ON f.root_id = r.id GROUP BY r.id ORDER BY r.path
"""

FILES = """
SELECT root, path, source, size, mtime_ns, inode, checked_ns, content_hash, state, reason, recipe,
    indexed_at
FROM located WHERE root = :root ORDER BY path
"""

# "0" comes right after "/": all that begins with "folder/" lies in a range that the index finds
FILES_BELOW = """
SELECT root, path, source, size, mtime_ns, inode, checked_ns, content_hash, state, reason, recipe,
    indexed_at
FROM located WHERE root = :root AND path >= :below AND path < :below || '0'
    AND (path = :below OR substr(path, 1, length(:below) + 1) = :below || '/')
ORDER BY path
"""

# What ``changes`` asks of a record, as far as it can be asked without the file: a size only where
# an equal stamp is enough. Few columns, because most syncs read nothing but these; in the order
# of the table, because that of the index jumps from page to page.
STAMPS = """
SELECT f.source, CASE WHEN f.recipe = :recipe AND f.state IN ('indexed', 'empty')
    AND f.source = :name || '/' || f.path AND f.mtime_ns < f.checked_ns - :racy_ns
    AND f.size <= :max_bytes THEN f.size END, f.mtime_ns, f.inode
FROM files f NOT INDEXED WHERE f.root_id = (SELECT id FROM roots WHERE path = :root)
"""

CHECKED = """
SELECT r.path, f.value FROM roots r LEFT JOIN facts f ON f.name = 'checked ' || r.path
"""

INTEND_FILE = """
INSERT INTO files (root_id, path, source, state)
VALUES ((SELECT id FROM roots WHERE path = ?), ?, ?, 'pending')
ON CONFLICT (root_id, path) DO UPDATE SET state = 'pending' RETURNING id
"""

INTEND_POINT = """
INSERT INTO points (id, file_id, position, content_hash, tokens) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET payload_hash = NULL
"""

STAY = "DELETE FROM leaving WHERE id = ?"

LEAVE = "INSERT OR IGNORE INTO leaving SELECT id FROM points WHERE file_id = ?"

LEAVE_WITH_FILE = """
INSERT OR IGNORE INTO leaving SELECT id FROM points
WHERE file_id = (SELECT id FROM located WHERE root = ? AND path = ?)
"""

COMMIT_FILE = """
INSERT INTO files (root_id, path, source, size, mtime_ns, inode, checked_ns, content_hash, state,
    reason, recipe, indexed_at)
VALUES ((SELECT id FROM roots WHERE path = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (root_id, path) DO UPDATE SET source = excluded.source, size = excluded.size,
    mtime_ns = excluded.mtime_ns, inode = excluded.inode, checked_ns = excluded.checked_ns,
    content_hash = excluded.content_hash, state = excluded.state, reason = excluded.reason,
    recipe = excluded.recipe, indexed_at = excluded.indexed_at
RETURNING id
"""

COMMIT_POINT = "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?, ?)"

REFRESH_FILE = """
UPDATE files SET size = ?, mtime_ns = ?, inode = ?, checked_ns = ?
WHERE id = (SELECT id FROM located WHERE root = ? AND path = ?)
"""

REMOVE_FILE = "DELETE FROM files WHERE id = (SELECT id FROM located WHERE root = ? AND path = ?)"

POINTS_OF_FILE = """
SELECT id, content_hash, tokens, payload_hash FROM points
WHERE file_id = (SELECT id FROM located WHERE root = ? AND path = ?) ORDER BY position
"""

# with max() SQLite takes the other columns from the row that has the maximum
HOLDERS = """
SELECT content_hash, id, max(payload_hash IS NOT NULL) FROM points
WHERE content_hash IN (SELECT value FROM json_each(?)) GROUP BY content_hash
"""

SAMPLE = "SELECT id FROM points WHERE payload_hash IS NOT NULL AND id >= ? ORDER BY id LIMIT 1"

DOUBT_FILES_OF_POINTS = """
UPDATE files SET state = 'pending' WHERE id IN
    (SELECT file_id FROM points WHERE id IN (SELECT value FROM json_each(?)))
"""

LOSE_POINTS = "DELETE FROM points WHERE id IN (SELECT value FROM json_each(?))"

LEFT = "DELETE FROM leaving WHERE id IN (SELECT value FROM json_each(?))"

POINT_IDS = "SELECT id FROM points UNION SELECT id FROM leaving"

COUNT = "SELECT (SELECT count(*) FROM points) + (SELECT count(*) FROM leaving)"

UNSETTLED = """
SELECT id FROM points WHERE payload_hash IS NULL UNION SELECT id FROM leaving
"""

REMEMBER = """
INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
