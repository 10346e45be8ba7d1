//! Reviews: what people are asked, and what they decide; and the pools of those who decide.

use fairlane_api::resource::Applied;
use fairlane_api::review::{
    BreakGlass, Decide, DecideAll, Decided, NextReview, Reassign, Review, ReviewComment,
    ReviewDetail, ReviewerPool, ReviewerPoolSpec, WithFence,
};
use serde::Serialize;

use crate::client::{Call, Path};
use crate::{Client, Error, Write};

impl Client {
    /// Declares a pool of reviewers.
    pub async fn put_reviewer_pool(
        &self,
        name: &str,
        spec: &ReviewerPoolSpec,
        write: Write,
    ) -> Result<Applied, Error> {
        self.put(&["v1", "catalog", "reviewer-pools", name], spec, write).await
    }

    pub async fn reviewer_pools(&self) -> Result<Vec<ReviewerPool>, Error> {
        self.list(&["v1", "catalog", "reviewer-pools"]).await
    }

    /// What the key's person may decide, or whose reviews the key may see.
    pub async fn reviews(&self) -> Result<Vec<Review>, Error> {
        self.list(&["v1", "reviews"]).await
    }

    /// What the key's person has claimed.
    pub async fn claimed_reviews(&self) -> Result<Vec<Review>, Error> {
        self.list_where(&["v1", "reviews"], ("claimed", true)).await
    }

    pub async fn review(&self, id: &str) -> Result<ReviewDetail, Error> {
        self.get(&["v1", "reviews", id]).await
    }

    /// Claims the review whose turn it is; `None` if there is none for the key's person.
    pub async fn next_review(&self, next: &NextReview) -> Result<Option<Review>, Error> {
        let path = Path::new(&["v1", "reviews", "next"]).into_string();
        let body = self.call_raw(Call::post(path).json(next)?).await?;
        if body.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&body)?)) }
    }

    /// Claims a review, or keeps it for longer.
    pub async fn claim_review(&self, id: &str) -> Result<Review, Error> {
        self.call(Call::post(Path::new(&["v1", "reviews", id, "claim"]).into_string())).await
    }

    pub async fn release_review(&self, id: &str, with: &WithFence) -> Result<(), Error> {
        self.review_command(id, "release", with).await
    }

    pub async fn reassign_review(&self, id: &str, to: &Reassign) -> Result<(), Error> {
        self.review_command(id, "reassign", to).await
    }

    pub async fn escalate_review(&self, id: &str, with: &WithFence) -> Result<(), Error> {
        self.review_command(id, "escalate", with).await
    }

    pub async fn comment_review(&self, id: &str, comment: &ReviewComment) -> Result<(), Error> {
        self.review_command(id, "comment", comment).await
    }

    pub async fn break_glass(&self, id: &str, given: &BreakGlass) -> Result<(), Error> {
        self.review_command(id, "break-glass", given).await
    }

    pub async fn decide_review(&self, id: &str, decision: &Decide) -> Result<Decided, Error> {
        let path = Path::new(&["v1", "reviews", id, "decide"]).into_string();
        self.call(Call::post(path).json(decision)?).await
    }

    /// Each is done or refused by itself.
    pub async fn decide_reviews(&self, decisions: &DecideAll) -> Result<Vec<Decided>, Error> {
        let path = Path::new(&["v1", "reviews", "decide"]).into_string();
        self.call(Call::post(path).json(decisions)?).await
    }

    async fn review_command(
        &self,
        id: &str,
        what: &str,
        body: &impl Serialize,
    ) -> Result<(), Error> {
        let path = Path::new(&["v1", "reviews", id, what]).into_string();
        self.call_raw(Call::post(path).json(body)?).await.map(drop)
    }
}
