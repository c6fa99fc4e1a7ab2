//! The databases compared with each other, without the model between them.

use super::first_seed;
use super::sequences::{CARELESS, PLAIN, Sequence, TOGETHER};
use crate::support::{Database, Schema, World, run, scale};

const NAME: &str = module_path!();

/// All answers and the canonical journal of some sequences of every style.
async fn transcripts(database: Database) -> Vec<String> {
    let mut transcripts = Vec::new();
    run(database, Schema::Migrated, NAME, async |world: &World| {
        for seed in first_seed()..first_seed() + scale(8) as u64 {
            for (style, offset) in [(PLAIN, 0), (CARELESS, 1_000_000), (TOGETHER, 2_000_000)] {
                let mut sequence = Sequence::new(world.db(), style, seed + offset).await?;
                sequence.run().await?;
                transcripts.push(sequence.transcript().await?);
            }
        }
        Ok(())
    })
    .await;
    transcripts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server: run scripts/test"]
async fn the_same_sequence_has_the_same_answers_and_the_same_journal_on_all_three() {
    let sqlite = transcripts(Database::Sqlite).await;
    for database in [Database::Postgres, Database::Mariadb] {
        let other = transcripts(database).await;
        assert_eq!(sqlite.len(), other.len());
        for (here, there) in sqlite.iter().zip(&other) {
            for (here, there) in here.lines().zip(there.lines()) {
                assert_eq!(here, there, "sqlite and {}", database.label());
            }
            assert_eq!(here, there, "sqlite and {}", database.label());
        }
    }
}
