//! Finds statements that would end the transaction behind the back of the unit of work.

use sea_orm::DbBackend;

/// The first statement of `sql` that controls transactions, or that commits implicitly on this database.
///
/// A unit of work may be committed only if nobody has ended its transaction in between, and no driver tells. So such
/// text is refused before it is sent. What a stored procedure does inside is out of sight.
pub(crate) fn transaction_control(backend: DbBackend, sql: &str) -> Option<&'static str> {
    // As SQLite's driver does, which takes off more than SQLite itself counts as blank.
    let sql = sql.trim();
    let mut scanner = Scanner { backend, sql, bytes: sql.as_bytes(), at: 0 };
    let mut statement = Statement::default();
    // Inside the body of a trigger or a routine, `BEGIN first; …; END` is one statement.
    let mut in_body = false;
    loop {
        let token = scanner.next();
        if let Token::Word(word) = token {
            statement.push(backend, word);
            continue;
        }
        if token == Token::Conditional {
            return Some("/*!");
        }
        if in_body {
            in_body = !statement.first_is("END");
        } else if let Some(keyword) = statement.control(backend) {
            return Some(keyword);
        } else {
            in_body = statement.opens_body;
        }
        if token == Token::End {
            return None;
        }
        statement = Statement::default();
    }
}

#[derive(PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Semicolon,
    /// What stands in a comment that some servers execute: what the whole text says, only the server knows.
    Conditional,
    End,
}

/// The leading words of one statement, which are all that tells what it is.
#[derive(Default)]
struct Statement<'a> {
    words: [&'a str; 3],
    count: usize,
    names_autocommit: bool,
    creates_routine: bool,
    opens_body: bool,
    after_begin: bool,
}

impl<'a> Statement<'a> {
    fn push(&mut self, backend: DbBackend, word: &'a str) {
        if let Some(place) = self.words.get_mut(self.count) {
            *place = word;
            self.count = self.count.saturating_add(1);
        }
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        self.names_autocommit |= is("AUTOCOMMIT");
        self.creates_routine |=
            self.creates() && (is("TRIGGER") || is("FUNCTION") || is("PROCEDURE"));
        // PostgreSQL writes `BEGIN ATOMIC`; any other BEGIN in a CREATE is a name there.
        let begins = if backend == DbBackend::Postgres {
            self.after_begin && is("ATOMIC")
        } else {
            is("BEGIN")
        };
        self.opens_body |= self.creates_routine && begins;
        self.after_begin = is("BEGIN");
    }

    fn first_is(&self, word: &str) -> bool {
        self.words[0].eq_ignore_ascii_case(word)
    }

    fn creates(&self) -> bool {
        self.first_is("CREATE")
    }

    fn control(&self, backend: DbBackend) -> Option<&'static str> {
        let second = |word: &str| self.words[1].eq_ignore_ascii_case(word);
        if let Some(keyword) = CONTROL.iter().find(|keyword| self.first_is(keyword)) {
            return Some(keyword);
        }
        if self.first_is("SET")
            && (second("TRANSACTION") || self.words[2].eq_ignore_ascii_case("TRANSACTION"))
        {
            return Some("SET TRANSACTION");
        }
        if self.first_is("PREPARE") && second("TRANSACTION") {
            return Some("PREPARE TRANSACTION");
        }
        if backend != DbBackend::MySql {
            return None;
        }
        if self.first_is("SET") && self.names_autocommit {
            return Some("SET autocommit");
        }
        // A password and a default role are stored; SET STATEMENT … FOR runs whatever follows.
        if self.first_is("SET") && (second("PASSWORD") || second("DEFAULT") || second("STATEMENT"))
        {
            return Some("SET");
        }
        let temporary_table = second("TEMPORARY") && self.words[2].eq_ignore_ascii_case("TABLE");
        if (self.creates() || self.first_is("DROP")) && temporary_table {
            return None;
        }
        MYSQL_IMPLICIT_COMMIT.iter().find(|keyword| self.first_is(keyword)).copied()
    }
}

/// `END` and `ABORT` are COMMIT and ROLLBACK by other names.
const CONTROL: [&str; 9] =
    ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "XA"];

/// What MariaDB and MySQL commit before, and sometimes after; and PREPARE, EXECUTE and REPEAT,
/// which hide what they run.
const MYSQL_IMPLICIT_COMMIT: [&str; 25] = [
    "ALTER",
    "ANALYZE",
    "BACKUP",
    "CACHE",
    "CHANGE",
    "CHECK",
    "CREATE",
    "DROP",
    "EXECUTE",
    "FLUSH",
    "GRANT",
    "INSTALL",
    "LOAD",
    "LOCK",
    "OPTIMIZE",
    "PREPARE",
    "RENAME",
    "REPAIR",
    "REPEAT",
    "RESET",
    "REVOKE",
    "STOP",
    "TRUNCATE",
    "UNINSTALL",
    "UNLOCK",
];

/// Splits SQL into words and semicolons, and passes over strings, quoted names and comments.
struct Scanner<'a> {
    backend: DbBackend,
    sql: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at.saturating_add(ahead)).copied().unwrap_or(0)
    }

    fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    fn next(&mut self) -> Token<'a> {
        let mysql = self.backend == DbBackend::MySql;
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b';' => {
                    self.skip(1);
                    return Token::Semicolon;
                }
                b'-' if self.peek(1) == b'-' && (!mysql || is_blank(self.peek(2))) => self.line(),
                b'#' if mysql => self.line(),
                b'/' if mysql && (self.starts("/*!") || self.starts("/*M!")) => {
                    self.skip(3);
                    return Token::Conditional;
                }
                b'/' if self.peek(1) == b'*' => self.comment(),
                b'\'' => self.quoted(b'\'', mysql || self.escape_string()),
                b'"' => self.quoted(b'"', mysql),
                b'`' => self.quoted(b'`', false),
                b'[' if self.backend == DbBackend::Sqlite => self.quoted(b']', false),
                b'$' if self.backend == DbBackend::Postgres => self.dollar(),
                // SQLite passes over a byte order mark wherever a word could begin.
                _ if self.backend == DbBackend::Sqlite && self.starts("\u{feff}") => self.skip(3),
                byte if is_word(byte) => {
                    let start = self.at;
                    while self.in_word(self.peek(0)) {
                        self.skip(1);
                    }
                    return Token::Word(self.sql.get(start..self.at).unwrap_or_default());
                }
                _ => self.skip(1),
            }
        }
        Token::End
    }

    fn starts(&self, with: &str) -> bool {
        self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(with.as_bytes()))
    }

    /// In a name of PostgreSQL `$$` is no quote.
    fn in_word(&self, byte: u8) -> bool {
        is_word(byte) || (byte == b'$' && self.backend == DbBackend::Postgres)
    }

    fn line(&mut self) {
        let return_ends = self.backend == DbBackend::Postgres;
        while self.at < self.bytes.len()
            && self.peek(0) != b'\n'
            && !(return_ends && self.peek(0) == b'\r')
        {
            self.skip(1);
        }
    }

    fn comment(&mut self) {
        let nests = self.backend == DbBackend::Postgres;
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            if self.peek(0) == b'/' && self.peek(1) == b'*' && (nests || depth == 0) {
                depth = depth.saturating_add(1);
                self.skip(2);
            } else if self.peek(0) == b'*' && self.peek(1) == b'/' {
                depth = depth.saturating_sub(1);
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.skip(1);
            }
        }
    }

    /// PostgreSQL's `E'…'`, where a backslash escapes.
    fn escape_string(&self) -> bool {
        let before = |back: usize| {
            self.at.checked_sub(back).and_then(|at| self.bytes.get(at)).copied().unwrap_or(0)
        };
        self.backend == DbBackend::Postgres
            && matches!(before(1), b'e' | b'E')
            && !self.in_word(before(2))
    }

    fn quoted(&mut self, close: u8, backslash: bool) {
        self.skip(1);
        while self.at < self.bytes.len() {
            let byte = self.peek(0);
            let escaped = backslash && byte == b'\\';
            let doubled = byte == close && self.peek(1) == close && close != b']';
            if escaped || doubled {
                self.skip(2);
            } else {
                self.skip(1);
                if byte == close {
                    return;
                }
            }
        }
    }

    /// PostgreSQL's `$tag$ … $tag$`; `$1` is a parameter.
    fn dollar(&mut self) {
        let rest = self.sql.get(self.at..).unwrap_or_default();
        let tag_end = rest.bytes().skip(1).position(|byte| !is_word(byte) || byte == b'$');
        let tag = tag_end.and_then(|end| rest.get(..end.saturating_add(2)));
        match tag.filter(|tag| tag.ends_with('$') && !tag.as_bytes()[1].is_ascii_digit()) {
            Some(tag) => {
                let body = rest.get(tag.len()..).unwrap_or_default();
                let length = body
                    .find(tag)
                    .map_or(rest.len(), |end| end.saturating_add(tag.len().saturating_mul(2)));
                self.skip(length);
            }
            None => self.skip(1),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// What makes a comment out of MySQL's `--` in front of it: nothing, a blank or a control character.
fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::DatabaseBackend::{MySql, Postgres, Sqlite};

    #[test]
    fn transaction_control_is_found_wherever_it_hides() {
        let rows = [
            (Postgres, "COMMIT", Some("COMMIT")),
            (Postgres, "  \n commit;", Some("COMMIT")),
            (Postgres, "INSERT INTO t VALUES (1); ROLLBACK", Some("ROLLBACK")),
            (Postgres, "-- note\nSAVEPOINT a", Some("SAVEPOINT")),
            (Postgres, "/* a /* nested */ b */ RELEASE a", Some("RELEASE")),
            (Postgres, "END", Some("END")),
            (Postgres, "PREPARE TRANSACTION 'x'", Some("PREPARE TRANSACTION")),
            (Postgres, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Some("SET TRANSACTION")),
            (Postgres, "SELECT 'a'';'; COMMIT", Some("COMMIT")),
            (Postgres, "SELECT E'a\\'; x'; COMMIT", Some("COMMIT")),
            (Postgres, "SELECT $$ ; $$; COMMIT", Some("COMMIT")),
            (Postgres, "SELECT $a$ ; $$ ; $a$; ABORT", Some("ABORT")),
            (Sqlite, "SELECT [a;b] FROM t; COMMIT", Some("COMMIT")),
            (
                Sqlite,
                "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; SELECT 2; END; COMMIT",
                Some("COMMIT"),
            ),
            // The first of these hides a quote from servers older than itself, and the COMMIT from nobody.
            (MySql, "SELECT 1 /*!99999 ' */; COMMIT; -- '", Some("/*!")),
            (MySql, "/*!99999 SELECT 1 */ COMMIT", Some("/*!")),
            (MySql, "/*!40000 COMMIT */", Some("/*!")),
            (MySql, "/*M!100100 COMMIT */", Some("/*!")),
            (MySql, "--\u{7f} '\nCOMMIT; -- '", Some("COMMIT")),
            (Postgres, "-- note\rCOMMIT", Some("COMMIT")),
            (Postgres, "SELECT 1 AS a$$; COMMIT; --$$", Some("COMMIT")),
            (Postgres, "SELECT a$e'\\'; COMMIT; --'", Some("COMMIT")),
            (Sqlite, "\u{a0}COMMIT", Some("COMMIT")),
            (Sqlite, "COMMIT\u{3000}", Some("COMMIT")),
            (Sqlite, "\u{feff}END", Some("END")),
            (Sqlite, "SELECT 1;\u{feff} COMMIT", Some("COMMIT")),
            (MySql, "# note\nSTART TRANSACTION", Some("START")),
            (MySql, "SELECT 5--2; COMMIT", Some("COMMIT")),
            (MySql, "SET @@autocommit = 1", Some("SET autocommit")),
            (MySql, "SET @x = 1, autocommit = 1", Some("SET autocommit")),
            (MySql, "CREATE TABLE t (a INT)", Some("CREATE")),
            (MySql, "TRUNCATE t", Some("TRUNCATE")),
            (MySql, "LOCK TABLES t WRITE", Some("LOCK")),
            (MySql, "SET PASSWORD = 'x'", Some("SET")),
            (MySql, "SET STATEMENT max_statement_time = 1 FOR COMMIT", Some("SET")),
            (MySql, "REPEAT COMMIT; UNTIL 1 END REPEAT", Some("REPEAT")),
            (MySql, "CREATE TEMPORARY SEQUENCE s", Some("CREATE")),
        ];
        for (backend, sql, expected) in rows {
            assert_eq!(transaction_control(backend, sql), expected, "{backend:?}: {sql}");
        }
    }

    #[test]
    fn what_only_looks_like_control_passes() {
        let rows = [
            (Postgres, "SELECT 'COMMIT'"),
            (Postgres, "SELECT 1 -- ; COMMIT"),
            (Postgres, "INSERT INTO \"commit\" VALUES ($1, $2)"),
            (Postgres, "UPDATE t SET commit = 1"),
            (Postgres, "CREATE TABLE t (a INT)"),
            (Postgres, "DO $$ BEGIN PERFORM 1; END $$"),
            (Postgres, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END"),
            (Postgres, "SET LOCAL lock_timeout = '1s'"),
            (Postgres, "LOCK TABLE t"),
            (
                Sqlite,
                "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; SELECT CASE WHEN 1 THEN 2 END; END",
            ),
            (Sqlite, "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END;"),
            (MySql, "CREATE TEMPORARY TABLE t (a INT)"),
            (MySql, "SELECT 'it\\'s; COMMIT'"),
            (MySql, "SELECT `a;b` FROM t"),
            (MySql, "SELECT '/*!'"),
            (MySql, "SELECT /* COMMIT */ 1"),
            (Postgres, "SELECT $1::text, a$$b$$"),
            (Sqlite, ""),
            (Sqlite, ";;"),
        ];
        for (backend, sql) in rows {
            assert_eq!(transaction_control(backend, sql), None, "{backend:?}: {sql}");
        }
    }
}
