using Flotilla.Simulation.Nodes;
using Flotilla.Testing;

namespace Flotilla.Simulation.Faults;

/// <summary>What happens to processes, machines, disks and clocks, and what an operator may do at a bad moment.</summary>
internal sealed class NodeFaults(World world, Chance chance, Func<bool> stopped)
{
    private bool _wiped;

    public IEnumerable<(Action Fault, int Weight)> All() =>
    [
        (() => Stop(Nemesis.Running(world, chance), chance.Hit(0.6)), 3),
        (() => Stop(Nemesis.Leading(world, chance), chance.Hit(0.6)), 3),
        (StopDuringSync, 3),
        (StopAll, 1),
        (Pause, 2),
        (SlowDisk, 1),
        (StallDisk, 2),
        (StallDiskWithoutHeirs, 1),
        (FailSync, 1),
        (BendClock, 1),
        (SetWallClock, 1),
        (Transfer, 2),
        (Reluctance, 1),
        (FillDisks, 2),
        (FalseHint, 1),
        (Wipe, world.Options.Wipes ? 2 : 0),
    ];

    private void Stop(SimulatedNode? node, bool power)
    {
        if (node is null || !node.Up)
        {
            return;
        }

        world.Count(power ? "power loss" : "kill");
        node.Stop(power);
        Hint(node);
        var downUs = chance.Hit(0.3) ? chance.Between(1_000, 50_000) : chance.Between(50_000, 5_000_000);
        world.Scheduler.After(downUs, () => world.StartIfDown(node));
    }

    // Waits for a moment at which a batch is half on its way to the disk.
    private void StopDuringSync()
    {
        var node = Nemesis.Leading(world, chance);
        if (node is not null)
        {
            Watch(node, 200);
        }
    }

    private void Watch(SimulatedNode node, int patience) => world.Scheduler.After(chance.Between(100, 2_000), () =>
    {
        if (stopped() || !node.Up || patience == 0)
        {
            return;
        }

        if (node.Syncing)
        {
            Stop(node, power: true);
        }
        else
        {
            Watch(node, patience - 1);
        }
    });

    private void StopAll()
    {
        world.Count("power loss everywhere");
        foreach (var node in world.Nodes)
        {
            Stop(node, power: true);
        }
    }

    private void Pause()
    {
        if (Nemesis.Leading(world, chance) is not { Paused: false } node)
        {
            return;
        }

        world.Count("pause");
        node.Pause();
        world.Scheduler.After(chance.Between(50_000, 6_000_000), node.Continue);
    }

    private void SlowDisk()
    {
        if (Nemesis.Running(world, chance) is not { } node)
        {
            return;
        }

        world.Count("slow disk");
        node.Timing.Slowness = chance.Between(10, 200);
        world.Scheduler.After(chance.Between(500_000, 6_000_000), () => node.Timing.Slowness = 1);
    }

    private void StallDisk()
    {
        if (Nemesis.Leading(world, chance) is not { } node)
        {
            return;
        }

        world.Count("stalled disk");
        world.Say(node, "has a disk that stalls");
        node.Timing.StalledUntilUs = world.Scheduler.NowUs + chance.Between(200_000, 6_000_000);
    }

    // Its heirs would rather not lead, either: it must go all the same.
    private void StallDiskWithoutHeirs()
    {
        if (Nemesis.Leading(world, chance) is not { } node)
        {
            return;
        }

        world.Count("stalled disk without heirs");
        world.Say(node, "has a disk that stalls, and no heirs");
        node.Timing.StalledUntilUs = world.Scheduler.NowUs + chance.Between(3_000_000, 7_000_000);
        foreach (var other in world.Nodes.Where(n => n != node))
        {
            other.SetReluctant(true);
            world.Scheduler.After(chance.Between(3_000_000, 7_000_000), () => other.SetReluctant(false));
        }
    }

    private void FailSync()
    {
        if (Nemesis.Running(world, chance) is { } node)
        {
            world.Count("failed sync");
            node.Disk.Fail(DiskOperation.Sync);
        }
    }

    private void BendClock()
    {
        world.Count("clock drift");
        chance.Pick(world.Nodes).Clock.SetRate(chance.Between(900, 1101) / 1000.0);
    }

    private void SetWallClock()
    {
        world.Count("wall clock jump");
        chance.Pick(world.Nodes).Clock.WallSkewMs = chance.Hit(0.5) ? chance.Between(-3_600_000, 3_600_000) : chance.Between(-500, 500);
    }

    private void Transfer()
    {
        if (world.LeaderOf(chance.Pick(world.Shards).Shard) is not { } leader)
        {
            return;
        }

        world.Count("transfer");
        var target = chance.Hit(0.3) ? default : chance.Pick(world.Nodes).Id;
        leader.Node.Post(leader, (replica, clock) => replica.TransferLeadership(target, clock));
    }

    // As a node is whose disk fills up.
    private void Reluctance()
    {
        if (Nemesis.Leading(world, chance) is { } node)
        {
            world.Count("reluctance");
            node.SetReluctant(true);
            world.Scheduler.After(chance.Between(200_000, 5_000_000), () => node.SetReluctant(false));
        }
    }

    // One disk, or those of several nodes at once; now and then of all.
    private void FillDisks()
    {
        world.Count("full disk");
        var share = chance.Between(10, 100) / 100.0;
        var first = chance.Pick(world.Nodes);
        foreach (var node in world.Nodes.Where(n => n == first || chance.Hit(share)))
        {
            world.Say(node, "has a full disk");
            node.SetFull(true);
            world.Scheduler.After(chance.Between(200_000, 8_000_000), () => node.SetFull(false));
        }
    }

    // A hint never breaks safety, not even a wrong one.
    private void FalseHint()
    {
        world.Count("false hint");
        Hint(chance.Pick(world.Nodes));
    }

    private void Hint(SimulatedNode gone)
    {
        foreach (var node in world.Nodes.Where(n => n != gone && n.Up && !world.Network.IsCut(gone.Number, n.Number)))
        {
            if (chance.Hit(0.5))
            {
                world.Scheduler.After(chance.Between(200, 5_000), () =>
                {
                    foreach (var hosted in node.Replicas)
                    {
                        node.Post(hosted, (replica, clock) => replica.PeerGone(gone.Id, clock));
                    }
                });
            }
        }
    }

    // A node that is alone can't tell that it was wiped. One disk at most: with a second one gone, three nodes could lose what was acknowledged, and would have to say so.
    private void Wipe()
    {
        if (Nemesis.Running(world, chance) is not { } node || !MayLose(node))
        {
            return;
        }

        _wiped = true;
        world.Count("wipe");
        node.Stop(power: true);
        node.Wipe();
        world.Scheduler.After(chance.Between(10_000, 3_000_000), () => world.StartIfDown(node));
    }

    private bool MayLose(SimulatedNode node)
    {
        if (!world.Options.Members)
        {
            return !_wiped && world.Nodes.Count > 1;
        }

        // Members are lost one at a time, from groups of three or more that are not being changed: else nobody could promise anything.
        return !world.Nodes.Any(n => n.Wiped) && world.Nodes.SelectMany(n => n.Replicas).All(r =>
            r.Replica?.Raft.Configuration is { } configuration && (configuration.Find(node.Id) is null || configuration is { IsJoint: false, Voters.Count: >= 3 }));
    }
}
