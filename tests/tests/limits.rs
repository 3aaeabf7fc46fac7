//! What happens at the limits, on real coordinator processes: disks without room, more connections
//! than there may be, requests larger than they may be.

mod limits {
    mod connections;
    mod requests;
    mod space;
}
