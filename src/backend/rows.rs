//! Writing many rows with few statements, whose texts are few too, so that they stay prepared.
//!
//! | | INSERT | UPDATE |
//! |---|---|---|
//! | PostgreSQL | an array for each column, by `unnest`: one text for any number of rows | the same, joined by the first column |
//! | MariaDB, MySQL, SQLite | `VALUES`, in pieces of a power of two | `CASE`, in pieces filled up to a power of two |
//!
//! One or two rows are `VALUES` and `CASE` on PostgreSQL as well.

#[cfg(feature = "postgres")]
mod arrays;

#[cfg(feature = "postgres")]
pub(crate) use arrays::ArrayColumn;

use sea_orm::sea_query::{
    Alias, CaseStatement, CommonTableExpression, Condition, Expr, ExprTrait, Iden, InsertStatement,
    IntoColumnRef, IntoIden, LockType, Order, Query, SelectStatement, SimpleExpr,
    SubQueryStatement, TableRef, UpdateStatement, WithClause,
};
use sea_orm::{DbErr, EntityTrait, FromQueryResult, Iterable, QueryResult, Statement, Value};

use super::Dialect;

/// Rows of a table, each with these columns in their order.
#[derive(Debug)]
pub(crate) struct Rows<E: EntityTrait> {
    columns: Vec<E::Column>,
    /// One row behind the other.
    values: Vec<Value>,
    /// Whether no value of any row is missing, where the table would allow that.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only arrays ask for it"))]
    complete: bool,
}

/// Up to so many rows have a text of their own for each number.
const FEW: usize = 8;

/// Up to so many rows that are to be locked are told apart one by one: few texts, for each kind is padded by itself.
#[cfg(feature = "postgres")]
const FEW_LOCKS: usize = 4;

/// The most rows in one piece of an INSERT, and of an UPDATE, whose work grows with the square.
const INSERT_PIECE: usize = 128;
const UPDATE_PIECE: usize = 64;

impl<E: EntityTrait> Rows<E>
where
    E::Column: Iden,
{
    pub(crate) fn new<const COLUMNS: usize>(
        columns: impl IntoIterator<Item = E::Column>,
        rows: impl Iterator<Item = [Value; COLUMNS]>,
    ) -> Self {
        let columns: Vec<_> = columns.into_iter().collect();
        assert_eq!(columns.len(), COLUMNS, "a row has a value for each column");
        let mut values = Vec::with_capacity(rows.size_hint().0.saturating_mul(COLUMNS));
        rows.for_each(|row| values.extend(row));
        Self { columns, values, complete: false }
    }

    fn count(&self) -> usize {
        self.values.len().checked_div(self.columns.len()).unwrap_or_default()
    }

    /// No value of any row is missing.
    pub(crate) fn complete(self) -> Self {
        Self { complete: true, ..self }
    }

    /// Inserts them; nothing if there are none.
    pub(crate) fn inserts(mut self, dialect: Dialect) -> Vec<Write<InsertStatement>> {
        if let Some(Write { statement: select, arrays }) = self.arrays(dialect) {
            let mut statement = self.insert();
            statement.select_from(select).expect("it has the columns of the rows");
            return vec![Write { statement, arrays }];
        }
        let mut inserts = Vec::new();
        let mut left = self.count();
        let mut values = std::mem::take(&mut self.values).into_iter();
        while left > 0 {
            let mut insert = self.insert();
            let piece = piece(left);
            left = left.saturating_sub(piece);
            for _ in 0..piece {
                let row = values.by_ref().take(self.columns.len());
                insert.values_panic(row.map(SimpleExpr::from));
            }
            inserts.push(Write { statement: insert, arrays: Vec::new() });
        }
        inserts
    }

    fn insert(&self) -> InsertStatement {
        let mut insert = Query::insert();
        insert.into_table(E::default()).columns(self.columns.iter().copied());
        insert.take()
    }

    /// Updates those whose first column is that of the row, to the other columns; nothing if there are none.
    pub(crate) fn updates(mut self, dialect: Dialect) -> Vec<Write<UpdateStatement>> {
        let Some((id, columns)) = self.columns.split_first() else {
            return Vec::new();
        };
        let (id, columns) = (*id, columns.to_vec());
        if let Some(select) = self.arrays(dialect) {
            return vec![select.map(|select| joined::<E>(id, &columns, select))];
        }
        let rows: Vec<_> = self.values.chunks(self.columns.len()).collect();
        let update =
            |piece| Write { statement: cases::<E>(id, &columns, piece), arrays: Vec::new() };
        rows.chunks(UPDATE_PIECE).map(update).collect()
    }

    /// The rows as a SELECT from one array for each column, where the database can do that; then it has them.
    #[cfg(feature = "postgres")]
    fn arrays(&mut self, dialect: Dialect) -> Option<Write<SelectStatement>> {
        if self.count() <= 2 || !dialect.has_arrays() {
            return None;
        }
        arrays::select::<E>(&self.columns, &mut self.values, self.complete)
    }

    #[cfg(not(feature = "postgres"))]
    fn arrays(&mut self, _: Dialect) -> Option<Write<SelectStatement>> {
        None
    }
}

/// A statement that writes rows.
///
/// SeaQuery copies every value that it renders, and arrays are long. So the statement has NULL for each of them, and they take
/// their places, in their order, when it has been rendered.
#[derive(Debug)]
pub(crate) struct Write<S> {
    pub(crate) statement: S,
    arrays: Vec<Value>,
}

/// What writes.
#[derive(Debug)]
pub(crate) enum InsertOrUpdate {
    Insert(InsertStatement),
    Update(UpdateStatement),
}

impl From<InsertStatement> for InsertOrUpdate {
    fn from(insert: InsertStatement) -> Self {
        Self::Insert(insert)
    }
}

impl From<UpdateStatement> for InsertOrUpdate {
    fn from(update: UpdateStatement) -> Self {
        Self::Update(update)
    }
}

impl<S> Write<S> {
    /// Changes its statement, which keeps its arrays in their order.
    pub(crate) fn map<T>(self, change: impl FnOnce(S) -> T) -> Write<T> {
        Write { statement: change(self.statement), arrays: self.arrays }
    }
}

impl Write<InsertOrUpdate> {
    /// Renders it, and along with it others, in one statement.
    pub(crate) fn render(self, along: Vec<Self>, dialect: Dialect) -> Statement {
        let (mut with, mut arrays) = (WithClause::new(), Vec::new());
        let is_alone = along.is_empty();
        for (index, write) in along.into_iter().enumerate() {
            let mut expression = CommonTableExpression::new();
            expression.table_name(format!("write_{index}"));
            match write.statement {
                InsertOrUpdate::Insert(insert) => expression.query(insert),
                InsertOrUpdate::Update(update) => expression.query(update),
            };
            with.cte(expression);
            arrays.extend(write.arrays);
        }
        arrays.extend(self.arrays);
        let backend = dialect.backend();
        let statement = match self.statement {
            InsertOrUpdate::Insert(insert) if is_alone => backend.build(&insert),
            InsertOrUpdate::Insert(insert) => backend.build(&insert.with(with)),
            InsertOrUpdate::Update(update) if is_alone => backend.build(&update),
            InsertOrUpdate::Update(update) => backend.build(&update.with(with)),
        };
        #[cfg(feature = "postgres")]
        let statement = arrays::put_in(statement, arrays);
        statement
    }
}

/// How many of the next rows go together.
fn piece(rows: usize) -> usize {
    match rows.checked_ilog2() {
        Some(power) if rows > FEW => INSERT_PIECE.min(1_usize.checked_shl(power).unwrap_or(rows)),
        _ => rows,
    }
}

impl Dialect {
    /// Whether a column is one of these, of which there are some.
    pub(crate) fn is_one_of<T>(
        self,
        column: impl IntoColumnRef,
        values: impl IntoIterator<Item = T>,
    ) -> SimpleExpr
    where
        T: Into<Value>,
    {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        #[cfg(feature = "postgres")]
        if self.has_arrays() && values.len() > 2 {
            return arrays::is_one_of(Expr::col(column), values);
        }
        Expr::col(column).is_in(padded(values))
    }
}

impl Dialect {
    /// The rows of which two columns, the key of the table, are one of these pairs. They are not locked: InnoDB would lock the
    /// gaps where none is, and two that lock one gap cannot both write there.
    pub(crate) fn rows_at<E: EntityTrait>(
        self,
        columns: [E::Column; 2],
        pairs: Vec<[Value; 2]>,
    ) -> SelectStatement
    where
        E::Column: Iden,
    {
        let mut rows = Query::select();
        rows.columns(E::Column::iter().map(|column| (E::default(), column))).from(E::default());
        #[cfg(feature = "postgres")]
        if self.has_arrays() && pairs.len() > 2 {
            return arrays::rows_at(columns, pairs, rows);
        }
        let is_one = |[one, other]: [Value; 2]| {
            let [first, second] = columns;
            Expr::col(first).eq(one).and(Expr::col(second).eq(other))
        };
        let any = padded(pairs).into_iter().map(is_one).fold(Condition::any(), Condition::add);
        rows.cond_where(any).take()
    }
}

/// Rows of a table that are wanted: those with these ids, and those of which two columns, another key, are one of these pairs.
#[derive(Debug)]
pub(crate) struct Wanted<E: EntityTrait> {
    pub(crate) id: E::Column,
    pub(crate) ids: Vec<Value>,
    pub(crate) key: [E::Column; 2],
    pub(crate) pairs: Vec<[Value; 2]>,
}

impl<E: EntityTrait> Wanted<E>
where
    E::Column: Iden,
{
    /// Adds their columns to a SELECT, and locks them, ascending by id.
    pub(crate) fn lock(self, dialect: Dialect, mut select: SelectStatement) -> Locking {
        #[cfg(feature = "postgres")]
        if dialect.has_arrays() && self.ids.len().saturating_add(self.pairs.len()) > FEW_LOCKS {
            return Locking { query: arrays::lock(self, select), as_arrays: true };
        }
        let _ = dialect;
        let Self { id, ids, key: [first, second], pairs } = self;
        // PostgreSQL asks again when it has waited for a row, and would lose one that it had found by a join.
        let id_of = |[one, other]: [Value; 2]| {
            let is_it = Expr::col(first).eq(one).and(Expr::col(second).eq(other));
            let id = Query::select().column(id).from(E::default()).and_where(is_it).take();
            SimpleExpr::SubQuery(None, Box::new(SubQueryStatement::SelectStatement(id)))
        };
        // Each kind by itself, so that there are few texts.
        let ids = padded(ids).into_iter().map(SimpleExpr::from);
        let wanted = ids.chain(padded(pairs).into_iter().map(id_of)).collect::<Vec<_>>();
        let query = select
            .columns(E::Column::iter())
            .from(E::default())
            .and_where(Expr::col(id).is_in(wanted))
            .order_by(id, Order::Asc)
            .lock(LockType::Update)
            .take();
        Locking { query, as_arrays: false }
    }
}

/// A statement that locks rows, and reads them.
#[derive(Debug)]
pub(crate) struct Locking {
    pub(crate) query: SelectStatement,
    /// Whether all come as one row, with an array for each column.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "others know no arrays"))]
    as_arrays: bool,
}

impl Locking {
    /// The rows out of what the statement has answered.
    pub(crate) fn read<R: FromArrays>(&self, answer: &[QueryResult]) -> Result<Vec<R>, DbErr> {
        #[cfg(feature = "postgres")]
        if self.as_arrays {
            return answer.first().map_or(Ok(Vec::new()), R::from_arrays);
        }
        answer.iter().map(|row| R::from_query_result(row, "")).collect()
    }
}

/// A row that can be read with others, out of an array for each column.
pub(crate) trait FromArrays: FromQueryResult {
    /// Those of which each column has an array of its name; none where these are NULL.
    #[cfg(feature = "postgres")]
    fn from_arrays(arrays: &QueryResult) -> Result<Vec<Self>, DbErr>;
}

/// Fills a list up to a power of two with its last element, so that lists of many lengths share few prepared statements.
pub(crate) fn padded<T: Clone>(mut list: Vec<T>) -> Vec<T> {
    if let Some(last) = list.last().cloned() {
        list.resize(list.len().next_power_of_two(), last);
    }
    list
}

/// An UPDATE from a SELECT that has the columns by their names.
fn joined<E: EntityTrait>(
    id: E::Column,
    columns: &[E::Column],
    select: SelectStatement,
) -> UpdateStatement
where
    E::Column: Iden,
{
    let rows = Alias::new("changed");
    let of = |column: E::Column| Expr::col((rows.clone(), column));
    let mut update = Query::update();
    for column in columns {
        update.value(*column, of(*column));
    }
    let same = Expr::col((E::default(), id)).eq(of(id));
    let from = TableRef::SubQuery(Box::new(select), rows.clone().into_iden());
    update.table(E::default()).from(from).and_where(same).take()
}

/// An UPDATE that tells the rows apart by CASE; of one row, without.
fn cases<E: EntityTrait>(id: E::Column, columns: &[E::Column], rows: &[&[Value]]) -> UpdateStatement
where
    E::Column: Iden,
{
    let value = |row: &[Value], index: usize| {
        SimpleExpr::from(row.get(index).cloned().expect("a row has a value for each column"))
    };
    let is = |row: &[Value]| Expr::col(id).eq(value(row, 0));
    let mut update = Query::update();
    update.table(E::default());
    if let [row] = rows {
        for (index, column) in columns.iter().enumerate() {
            update.value(*column, value(row, index.saturating_add(1)));
        }
        return update.and_where(is(row)).take();
    }
    let last = rows.last().copied().unwrap_or_default();
    let filled = rows.iter().copied().chain(std::iter::repeat(last));
    let rows: Vec<_> = filled.take(rows.len().next_power_of_two()).collect();
    for (index, column) in columns.iter().enumerate() {
        let mut cases = CaseStatement::new();
        for row in &rows {
            cases = cases.case(is(row), value(row, index.saturating_add(1)));
        }
        update.value(*column, SimpleExpr::Case(Box::new(cases)));
    }
    update.and_where(Expr::col(id).is_in(rows.iter().map(|row| value(row, 0)))).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_few_and_large() {
        let pieces = |mut rows: usize| {
            let mut pieces = Vec::new();
            while rows > 0 {
                pieces.push(piece(rows));
                rows -= piece(rows);
            }
            pieces
        };
        assert_eq!(pieces(0), [0; 0]);
        for few in 1..=8 {
            assert_eq!(pieces(few), [few]);
        }
        assert_eq!(pieces(9), [8, 1]);
        assert_eq!(pieces(16), [16]);
        assert_eq!(pieces(200), [128, 64, 8]);
        assert_eq!(pieces(500), [128, 128, 128, 64, 32, 16, 4]);
        for rows in 1..=1_000 {
            assert_eq!(pieces(rows).into_iter().sum::<usize>(), rows);
        }
    }
}
