//! What users and operators do while a simulation runs: versions, changes and broken files in the
//! soa directory; drains, reverts and changes of members through the leader.

use std::{collections::BTreeSet, io, sync::atomic::Ordering};

use paasta_common::{
    id::{HostId, InstanceId},
    spec::BounceMethod,
    time::Timestamp,
};
use paasta_coordinator_core::state::{
    command::{
        Command, DrainHost, ForceBounce, ReleaseBrake, RemovalRule, RemoveInstances, ResumeBounce,
        RollBack, UndrainHost,
    },
    departed::RemovalGuard,
};
use rand::{RngExt, rngs::StdRng};
use turmoil::Sim;

use super::{
    files::Files,
    fleet::{Broken, Fleet, Quality, Wanted},
    operator::Act,
    shape::Kind,
    storm::Storm,
    world::World,
};
use crate::checkers::i14_reasons::Want;

/// Users and operators.
pub(crate) struct People {
    pub(crate) fleet: Fleet,
    files: Files,
    drained: BTreeSet<HostId>,
    requests: u64,
    /// The coordinator that is to leave, once it does not vote any more.
    leaving: Option<u64>,
}

impl People {
    pub(crate) fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            files: Files::default(),
            drained: BTreeSet::new(),
            requests: 0,
            leaving: None,
        }
    }

    /// Somebody does something of this kind. Kinds that are faults are left to the storm.
    pub(crate) fn act(&mut self, world: &World, kind: Kind, chance: &mut StdRng) -> io::Result<()> {
        match kind {
            Kind::Deploy => self.deploy(world, chance),
            Kind::Change => self.change(world, chance),
            Kind::BreakConfig => self.break_config(world, chance),
            Kind::Maintenance => {
                self.maintenance(world, chance);
                Ok(())
            }
            Kind::Revert => {
                self.revert(world, chance);
                Ok(())
            }
            Kind::Transfer => {
                transfer(world, chance);
                Ok(())
            }
            Kind::Members => {
                self.members(world, chance);
                Ok(())
            }
            kind => self.files.befall(world, &mut self.fleet, kind, chance),
        }
    }

    /// Goes on with what was begun with the files, or ends it.
    pub(crate) fn pass(&mut self, world: &World, everything: bool) -> io::Result<()> {
        self.files.pass(world, &mut self.fleet, everything)
    }

    fn pick(&self, chance: &mut StdRng) -> Option<InstanceId> {
        let all: Vec<&InstanceId> = self.fleet.instances.keys().collect();
        (!all.is_empty()).then(|| all[chance.random_range(0..all.len())].clone())
    }

    fn deploy(&mut self, world: &World, chance: &mut StdRng) -> io::Result<()> {
        let Some(id) = self.pick(chance) else {
            return Ok(());
        };
        let quality = match chance.random_range(0..6) {
            0 => Quality::Unhealthy,
            1 => Quality::Crashing,
            2 => Quality::NoImage,
            _ => Quality::Good,
        };
        self.fleet.deploy(&id, quality);
        world.note(
            "user",
            format_args!("deploys a {quality:?} version of {id}"),
        );
        self.write(world)
    }

    fn change(&mut self, world: &World, chance: &mut StdRng) -> io::Result<()> {
        let Some(id) = self.pick(chance) else {
            return Ok(());
        };
        let Some(wanted) = self.fleet.instances.get_mut(&id) else {
            return Ok(());
        };
        match chance.random_range(0..6) {
            0 | 1 => wanted.instances = chance.random_range(0..=6),
            2 => wanted.stopped = !wanted.stopped,
            3 => wanted.declared = !wanted.declared,
            4 => {
                let methods = BounceMethod::ALL;
                wanted.method = methods[chance.random_range(0..methods.len())];
            }
            _ => wanted.instances += 1,
        }
        let (count, stopped, declared) = (wanted.instances, wanted.stopped, wanted.declared);
        world.note(
            "user",
            format_args!(
                "wants {count} of {id} by {}, stopped {stopped}, declared {declared}",
                wanted.method
            ),
        );
        self.write(world)
    }

    fn break_config(&mut self, world: &World, chance: &mut StdRng) -> io::Result<()> {
        let Some(id) = self.pick(chance) else {
            return Ok(());
        };
        let service = id.service.as_str().to_owned();
        let how = match chance.random_ratio(1, 2) {
            true => Broken::Syntax,
            false => Broken::Field,
        };
        if self.fleet.broken.remove(&service).is_none() {
            self.fleet.broken.insert(service.clone(), how);
        }
        let broken = self.fleet.broken.get(&service);
        world.note(
            "user",
            format_args!("the file of {service} is broken: {broken:?}"),
        );
        self.write(world)
    }

    /// Mends every file but perhaps one, and deploys a good version of everything that bounces.
    pub(crate) fn mend(&mut self, world: &World, leave_one_broken: bool) -> io::Result<()> {
        let keep = leave_one_broken
            .then(|| self.fleet.broken.pop_first())
            .flatten();
        self.fleet.broken.clear();
        self.fleet.broken.extend(keep);
        let ids: Vec<InstanceId> = self.fleet.instances.keys().cloned().collect();
        for id in ids {
            if let Some(wanted) = self.fleet.instances.get_mut(&id)
                && wanted.method == BounceMethod::Down
            {
                wanted.method = BounceMethod::Crossover;
            }
            self.fleet.deploy(&id, Quality::Good);
        }
        world.note(
            "user",
            format_args!("mends everything but {:?}", self.fleet.broken),
        );
        self.write(world)
    }

    fn write(&mut self, world: &World) -> io::Result<()> {
        let ids = self.fleet.instances.keys();
        let hurt: BTreeSet<InstanceId> = ids.filter(|id| self.fleet.is_hurt(id)).cloned().collect();
        // The judge may not be behind what the cluster reads; it may be ahead.
        let now = world.clock.elapsed_ms();
        world.judge.lock().hurt(now, hurt);
        self.tell_wants(world);
        self.fleet.write()
    }

    /// Tells the judge what users want.
    pub(crate) fn tell_wants(&self, world: &World) {
        let now = world.clock.elapsed_ms();
        let want = |(id, wanted): (&InstanceId, &Wanted)| {
            let want = Want {
                declared: wanted.declared,
                git_sha: wanted.sha(),
                instances: if wanted.stopped { 0 } else { wanted.instances },
            };
            (id.clone(), want)
        };
        let wants = self.fleet.instances.iter().map(want).collect();
        world.judge.lock().wants(now, wants);
    }

    fn maintenance(&mut self, world: &World, chance: &mut StdRng) {
        if let Some(hosts) = silent_hosts(world) {
            return self.tell(world, Command::ReleaseBrake(ReleaseBrake { hosts }));
        }
        let at = chance.random_range(0..world.agents.len());
        let host = world.agents[at].id().clone();
        let command = match self.drained.remove(&host) {
            true => Command::UndrainHost(UndrainHost { host }),
            false => {
                self.drained.insert(host.clone());
                Command::DrainHost(DrainHost {
                    host,
                    reason: "a kernel upgrade".to_owned(),
                    until: None,
                })
            }
        };
        self.tell(world, command);
    }

    /// Ends what only an operator can end: hosts that are drained, bounces that are held or rolled
    /// back.
    pub(crate) fn let_go(&mut self, world: &World) {
        self.drained.clear();
        let Some((_, up, _)) = world.leader() else {
            return;
        };
        let state = up.leader.machine.read();
        let drained = state.hosts().filter(|(_, host)| host.maintenance.is_some());
        let undrain = drained.map(|(id, _)| Command::UndrainHost(UndrainHost { host: id.clone() }));
        let waits = state.instances().filter(|(_, instance)| {
            let held = instance
                .bounce
                .as_ref()
                .is_some_and(|bounce| bounce.is_held());
            held || (instance.other_version().is_some() && instance.declared)
        });
        let resume = waits.map(|(id, _)| {
            Command::ResumeBounce(ResumeBounce {
                instance: id.clone(),
                reason: "what stood in its way is gone".to_owned(),
            })
        });
        // What is held back as too much, though it is meant.
        let absent = state.instances().filter(|(id, instance)| {
            let wanted = self.fleet.instances.get(*id);
            instance.absence.is_some() && wanted.is_none_or(|wanted| !wanted.declared)
        });
        let meant = RemoveInstances {
            ids: absent.map(|(id, _)| id.clone()).collect(),
            force: true,
            rule: Some(RemovalRule {
                leadership: 0,
                now: Timestamp::default(),
                guard: RemovalGuard::default(),
            }),
        };
        let held = state.held_back().is_some() && !meant.ids.is_empty();
        let removal = held.then_some(Command::RemoveInstances(meant));
        let commands: Vec<Command> = undrain.chain(resume).chain(removal).collect();
        drop(state);
        for command in commands {
            self.tell(world, command);
        }
    }

    fn revert(&mut self, world: &World, chance: &mut StdRng) {
        let Some(id) = self.pick(chance) else { return };
        let Some((_, up, _)) = world.leader() else {
            return;
        };
        let state = up.leader.machine.read();
        let apps: Vec<_> = state.apps().filter(|(_, app)| app.instance == id).collect();
        if apps.is_empty() {
            return;
        }
        let reason = "the new one is worse".to_owned();
        let command = match chance.random_range(0..5) {
            0 => Command::ResumeBounce(ResumeBounce {
                instance: id,
                reason,
            }),
            1 => Command::ForceBounce(ForceBounce {
                instance: id,
                reason,
            }),
            number => Command::RollBack(RollBack {
                app: (number > 2).then(|| apps[chance.random_range(0..apps.len())].0.clone()),
                instance: id,
                reason,
            }),
        };
        drop(state);
        self.tell(world, command);
    }

    /// Writes something that changes nothing, to be able to tell whether it survives.
    pub(crate) fn write_nothing(&mut self, world: &World) {
        if let Some(seat) = world
            .agents
            .iter()
            .find(|seat| !self.drained.contains(seat.id()))
        {
            let host = seat.id().clone();
            self.tell(world, Command::UndrainHost(UndrainHost { host }));
        }
    }

    fn tell(&mut self, world: &World, command: Command) {
        self.requests += 1;
        let request = format!("request-{}", self.requests);
        let Some((seat, up, _)) = world.leader() else {
            return;
        };
        world.note(
            "operator",
            format_args!("{request} to {}: {command:?}", seat.name),
        );
        // An operator whose coordinator is busy gives up.
        let _ = up.acts.try_send(Act::Write { request, command });
    }

    fn members(&mut self, world: &World, chance: &mut StdRng) {
        let Some((seat, up, status)) = world.leader() else {
            return;
        };
        let spare = world
            .coordinators
            .values()
            .find(|one| !one.has_left() && !status.voters.contains_key(&one.id));
        let mut voters: BTreeSet<u64> = status.voters.keys().copied().collect();
        let act = match (self.leaving, spare) {
            (Some(id), _) if !status.voters.contains_key(&id) => Act::Remove(id),
            (Some(id), _) => {
                voters.remove(&id);
                Act::ChangeVoters(voters)
            }
            (None, Some(spare)) if status.learners.contains_key(&spare.id) => {
                voters.insert(spare.id);
                Act::ChangeVoters(voters)
            }
            (None, Some(spare)) => Act::AddLearner(spare.id, spare.address()),
            // Enough vote that one may go.
            (None, None) if voters.len() > 3 => {
                let others: Vec<u64> = voters.into_iter().filter(|id| *id != seat.id).collect();
                let id = others[chance.random_range(0..others.len())];
                self.leaving = Some(id);
                return self.members(world, chance);
            }
            (None, None) => return,
        };
        world.note("operator", format_args!("to {}: {act:?}", seat.name));
        // An operator whose coordinator is busy gives up.
        let _ = up.acts.try_send(act);
    }

    /// Switches off a coordinator that has left the cluster.
    pub(crate) fn switch_off(&mut self, sim: &mut Sim<'_>, world: &World, storm: &mut Storm) {
        let Some(id) = self.leaving else { return };
        let Some((_, _, status)) = world.leader() else {
            return;
        };
        let member = status.voters.contains_key(&id) || status.learners.contains_key(&id);
        if member || status.changing {
            return;
        }
        if let Some(seat) = world.coordinators.get(&id) {
            world.note(&seat.name, format_args!("has left for ever"));
            seat.left.store(true, Ordering::SeqCst);
            storm.crash(sim, world, &seat.name, None);
        }
        self.leaving = None;
    }
}

/// The hosts whose silence is too much to be believed.
fn silent_hosts(world: &World) -> Option<BTreeSet<HostId>> {
    let (_, up, _) = world.leader()?;
    let report = up.leader.report.load();
    let brake = report.brake.as_ref()?;
    Some(brake.hosts.iter().cloned().collect())
}

fn transfer(world: &World, chance: &mut StdRng) {
    let Some((seat, up, status)) = world.leader() else {
        return;
    };
    let voters: Vec<u64> = status.voters.keys().copied().collect();
    let to = voters[chance.random_range(0..voters.len())];
    world.note(
        "operator",
        format_args!("hands leadership from {} to {to}", seat.name),
    );
    // An operator whose coordinator is busy gives up.
    let _ = up.acts.try_send(Act::Transfer(to));
}
