//! The store and the consensus on top of it, with real files, real processes and real connections.

mod store {
    mod churn;
    mod cluster;
    mod damage;
    mod forged;
    mod growth;
    mod harness;
    mod kill;
    mod lost;
    mod members;
    mod reopen;
    mod silent;
    mod single;
    mod suite;
    mod syscalls;
}
