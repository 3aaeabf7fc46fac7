//! `paasta` as its users see it: the real binary, its text and its exit codes.

mod bounce;
mod bouncer;
mod bounces;
mod clusters;
mod contexts;
mod declared;
mod fake;
mod files;
mod glance;
mod local;
mod logs;
mod marking;
mod members;
mod newcomer;
mod newer;
mod older;
mod operate;
mod operator;
mod paasta;
mod reach;
mod settings;
mod show;
mod usage;
mod verbs;
