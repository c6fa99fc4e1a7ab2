//! The doctor: it sees what is wrong with a database, and says what helps.

mod catalog;
mod settings;

use auction_ledger::{AuctionLedger, Error, Severity, Symptom};
use sea_orm::DatabaseConnection;

/// What the doctor finds on a connection, each with its text.
async fn symptoms(db: &DatabaseConnection) -> Result<Vec<Symptom>, Error> {
    let checkup = AuctionLedger::new(db.clone()).doctor().await?;
    let errors = checkup.symptoms.iter().filter(|one| one.severity() == Severity::Error).count();
    assert_eq!(checkup.errors().count(), errors);
    assert_eq!(checkup.is_healthy(), errors == 0);
    for symptom in &checkup.symptoms {
        // Whoever reads the log reads the remedy.
        let text = symptom.to_string();
        assert!(text.ends_with(&format!("; remedy: {}", symptom.remedy())), "{text}");
        assert!(!symptom.remedy().is_empty());
    }
    Ok(checkup.symptoms)
}
