//! Rows as arrays, one for each column.

use sea_orm::sea_query::{
    Alias, ArrayType, Asterisk, CaseStatement, Expr, ExprTrait, Func, Iden, JoinType, LockType,
    Order, Query, SelectStatement, SimpleExpr, SubQueryStatement, UnionType,
};
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, IdenStatic, Iterable, QueryResult, Statement, TryGetable,
    Value,
};

use super::{Wanted, Write};

/// No id, no amount and no instant is this number.
const NOTHING: i64 = i64::MIN;

/// How a column says that there is nothing, for the driver knows no arrays with NULL.
#[derive(Clone, Copy)]
enum Nothing {
    /// There is something everywhere.
    Never,
    /// By a number that nothing has.
    Number,
    /// By an empty text; any other has one more letter in front.
    Text,
}

impl Nothing {
    /// `None` for a column that cannot be told so.
    fn of(value: &Value, may_be_missing: bool) -> Option<Self> {
        match value {
            _ if !may_be_missing => Some(Self::Never),
            Value::BigInt(_) => Some(Self::Number),
            Value::String(_) => Some(Self::Text),
            _ => None,
        }
    }

    fn encode(self, value: Value) -> Value {
        match (self, value) {
            (Self::Number, Value::BigInt(number)) => Value::BigInt(Some(number.unwrap_or(NOTHING))),
            (Self::Text, Value::String(text)) => {
                Value::from(text.map_or_else(String::new, |text| format!("={text}")))
            }
            (_, value) => value,
        }
    }

    fn decode(self, column: SimpleExpr) -> SimpleExpr {
        match self {
            Self::Never => column,
            Self::Number => {
                Func::cust(Alias::new("NULLIF")).arg(column).arg(Expr::val(NOTHING)).into()
            }
            Self::Text => {
                let text = Func::cust(Alias::new("substr")).arg(column.clone()).arg(Expr::val(2));
                let cases = CaseStatement::new().case(column.ne(""), text);
                SimpleExpr::Case(Box::new(cases))
            }
        }
    }
}

/// Whether a column is one of these values, of which there are some.
pub(super) fn is_one_of(column: SimpleExpr, values: Vec<Value>) -> SimpleExpr {
    let kind = values.first().map_or(ArrayType::BigInt, Value::array_type);
    let array = Value::Array(kind, Some(Box::new(values)));
    column.eq(Func::cust(Alias::new("ANY")).arg(Expr::val(array)))
}

/// Rows, of which these are the values one behind the other, as a SELECT that has the columns by their names. `None`, and they
/// stay, where it cannot be said so.
pub(super) fn select<E: EntityTrait>(
    columns: &[E::Column],
    values: &mut Vec<Value>,
    complete: bool,
) -> Option<Write<SelectStatement>>
where
    E::Column: Iden,
{
    let first = values.get(..columns.len())?;
    // Not by looking at the rows: each set of columns that miss something would be another text.
    let nothing = columns.iter().zip(first);
    let nothing =
        nothing.map(|(column, value)| Nothing::of(value, !complete && column.def().is_null()));
    let nothing: Vec<Nothing> = nothing.collect::<Option<_>>()?;
    let types: Vec<_> = first.iter().map(Value::array_type).collect();
    let count = values.len().checked_div(columns.len())?;
    let mut arrays: Vec<Vec<Value>> = columns.iter().map(|_| Vec::with_capacity(count)).collect();
    let mut values = std::mem::take(values).into_iter();
    for _ in 0..count {
        for ((array, nothing), value) in arrays.iter_mut().zip(&nothing).zip(&mut values) {
            array.push(nothing.encode(value));
        }
    }
    let mut unnested = Query::select();
    let mut select = Query::select();
    for ((column, kind), nothing) in columns.iter().zip(&types).zip(nothing) {
        let place = Expr::val(Value::Array(kind.clone(), None));
        unnested.expr_as(Func::cust(Alias::new("unnest")).arg(place), *column);
        select.expr_as(nothing.decode(Expr::col(*column)), *column);
    }
    let array = |(kind, array)| Value::Array(kind, Some(Box::new(array)));
    Some(Write {
        statement: select.from_subquery(unnested.take(), Alias::new("given")).take(),
        arrays: types.into_iter().zip(arrays).map(array).collect(),
    })
}

/// Puts arrays in their places.
pub(super) fn put_in(mut statement: Statement, arrays: Vec<Value>) -> Statement {
    let values = statement.values.iter_mut().flat_map(|values| &mut values.0);
    let mut places = values.filter(|value| matches!(value, Value::Array(_, None)));
    for array in arrays {
        let place = places.next().expect("each array has a place");
        assert_eq!(place.array_type(), array.array_type(), "an array has the type of its place");
        *place = array;
    }
    assert!(places.next().is_none(), "each place has an array");
    statement
}

fn unnest(values: Vec<Value>) -> SimpleExpr {
    let kind = values.first().map_or(ArrayType::BigInt, Value::array_type);
    let array = Value::Array(kind, Some(Box::new(values)));
    Func::cust(Alias::new("unnest")).arg(Expr::val(array)).into()
}

/// Pairs as a SELECT that has the columns by their names.
fn unnest_pairs<C: Iden + Copy + 'static>(
    columns: [C; 2],
    pairs: Vec<[Value; 2]>,
) -> SelectStatement {
    let (one, other) = pairs.into_iter().map(|[one, other]| (one, other)).unzip();
    let [first, second] = columns;
    Query::select().expr_as(unnest(one), first).expr_as(unnest(other), second).take()
}

/// Of `rows`, those of which two columns are one of these pairs: each is looked up on its own, which LIMIT keeps so.
pub(super) fn rows_at<C>(
    columns: [C; 2],
    pairs: Vec<[Value; 2]>,
    mut rows: SelectStatement,
) -> SelectStatement
where
    C: ColumnTrait + Iden,
{
    let (given, found) = (Alias::new("given"), Alias::new("found"));
    for column in columns {
        rows.and_where(Expr::col(column).eq(Expr::col((given.clone(), column))));
    }
    Query::select()
        .column((found.clone(), Asterisk))
        .from_subquery(unnest_pairs(columns, pairs), given)
        .join_lateral(JoinType::InnerJoin, rows.limit(1).take(), found, Expr::val(true))
        .take()
}

/// Looks each row up by its id, and locks it there, ascending: the rows of a join would be asked again, all of them, when one
/// had to be waited for, and those that are wanted would be looked for among all that there are. They come as one row with an
/// array for each column, which costs both sides less than a row each; what the SELECT has else is of the time after all locks.
pub(super) fn lock<E: EntityTrait>(
    wanted: Wanted<E>,
    mut select: SelectStatement,
) -> SelectStatement
where
    E::Column: Iden,
{
    let Wanted { id, ids, key, pairs } = wanted;
    let (given, sought, found) = (Alias::new("given"), Alias::new("sought"), Alias::new("found"));
    let mut by_id = Query::select();
    by_id.expr_as(unnest(ids), id);
    let mut all = by_id;
    if !pairs.is_empty() {
        let mut id_of = Query::select();
        id_of.column(id).from(E::default());
        for column in key {
            let is_given = Expr::col((E::default(), column)).eq(Expr::col((given.clone(), column)));
            id_of.and_where(is_given);
        }
        let id_of = SubQueryStatement::SelectStatement(id_of);
        let mut by_key = Query::select();
        by_key
            .expr(SimpleExpr::SubQuery(None, Box::new(id_of)))
            .from_subquery(unnest_pairs(key, pairs), given);
        all.union(UnionType::Distinct, by_key);
    }
    all.order_by(id, Order::Asc);
    let row = Query::select()
        .columns(E::Column::iter())
        .from(E::default())
        .and_where(Expr::col((E::default(), id)).eq(Expr::col((sought.clone(), id))))
        .lock(LockType::Update)
        .take();
    let mut gathered = Query::select();
    for column in E::Column::iter() {
        let array = Func::cust(Alias::new("array_agg")).arg(Expr::col((found.clone(), column)));
        gathered.expr_as(array, column);
    }
    gathered.from_subquery(all, sought).join_lateral(
        JoinType::InnerJoin,
        row,
        found,
        Expr::val(true),
    );
    let together = Alias::new("together");
    select.column((together.clone(), Asterisk)).from_subquery(gathered.take(), together).take()
}

/// A column of rows that came as arrays.
pub(crate) struct ArrayColumn<T>(std::vec::IntoIter<T>);

impl<T> ArrayColumn<T>
where
    Vec<T>: TryGetable,
{
    /// NULL, of no rows, is empty.
    pub(crate) fn read(arrays: &QueryResult, name: impl IdenStatic) -> Result<Self, DbErr> {
        let array: Option<Vec<T>> = arrays.try_get("", name.as_str())?;
        Ok(Self(array.unwrap_or_default().into_iter()))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// That of the next row.
    pub(crate) fn next(&mut self) -> Result<T, DbErr> {
        self.0.next().ok_or_else(|| DbErr::Type("an array is too short".to_owned()))
    }
}
