//! The load balancer with a real HAProxy: replacements under load, reloads, a worker that is
//! killed, an agent that restarts, and that file and memory are the same.

mod faults;
mod load;
mod sizes;
mod world;
