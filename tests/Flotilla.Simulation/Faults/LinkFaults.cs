namespace Flotilla.Simulation.Faults;

/// <summary>Partitions of every shape, and links that get worse.</summary>
internal sealed class LinkFaults(World world, Chance chance, Func<bool> stopped, Action quiet)
{
    public IEnumerable<(Action Fault, int Weight)> All() =>
    [
        (SplitInTwo, 2),
        (IsolateLeader, 3),
        (CutOneWay, 2),
        (MuteOrDeafen, 2),
        (Bridge, 1),
        (Storm, 2),
        (Detours, 1),
    ];

    private void SplitInTwo()
    {
        world.Count("split");
        var side = world.Nodes.Select(_ => chance.Hit(0.5)).ToArray();
        Cut((from, to) => side[from] != side[to], "splits the cluster");
    }

    private void IsolateLeader()
    {
        world.Count("isolate leader");
        var victim = Nemesis.Leading(world, chance)?.Number ?? 0;
        Cut((from, to) => from == victim || to == victim, $"isolates {world.Nodes[victim].Id}");
    }

    private void CutOneWay()
    {
        world.Count("one-way cut");
        var (a, b) = (chance.Below(world.Nodes.Count), chance.Below(world.Nodes.Count));
        Cut((from, to) => from == a && to == b, $"cuts {world.Nodes[a].Id} -> {world.Nodes[b].Id}");
    }

    private void MuteOrDeafen()
    {
        world.Count("mute or deaf");
        var victim = Nemesis.Leading(world, chance)?.Number ?? 0;
        var mute = chance.Hit(0.5);
        Cut((from, to) => mute ? from == victim : to == victim, $"makes {world.Nodes[victim].Id} {(mute ? "mute" : "deaf")}");
    }

    // Two halves that both reach one node in the middle, and not each other (Cloudflare 2020, hazard 3).
    private void Bridge()
    {
        world.Count("bridge");
        var middle = chance.Below(world.Nodes.Count);
        var side = world.Nodes.Select(_ => chance.Hit(0.5)).ToArray();
        Cut((from, to) => from != middle && to != middle && side[from] != side[to], $"leaves {world.Nodes[middle].Id} as the only bridge");
    }

    private void Storm()
    {
        world.Count("storm");
        var quality = world.Network.Quality;
        quality.Loss = chance.Below(50) / 100.0;
        quality.Duplication = 0.1;
        Until(chance.Between(200_000, 4_000_000), quiet);
    }

    private void Detours()
    {
        world.Count("detours");
        var quality = world.Network.Quality;
        quality.Detour = 0.3;
        quality.DetourUs = chance.Between(10_000, 3_000_000);
        Until(chance.Between(200_000, 4_000_000), quiet);
    }

    private void Cut(Func<int, int, bool> which, string what)
    {
        if (world.Transcript.On)
        {
            world.Transcript.Line($"the network {what}");
        }

        var cut = new List<(int From, int To)>();
        for (var from = 0; from < world.Nodes.Count; from++)
        {
            for (var to = 0; to < world.Nodes.Count; to++)
            {
                if (from != to && which(from, to) && !world.Network.IsCut(from, to))
                {
                    world.Network.SetCut(from, to, true);
                    cut.Add((from, to));
                }
            }
        }

        Until(chance.Hit(0.1) ? chance.Between(5_000_000, 20_000_000) : chance.Between(100_000, 5_000_000), () => cut.ForEach(c => world.Network.SetCut(c.From, c.To, false)));
    }

    private void Until(long delayUs, Action mend) => world.Scheduler.After(delayUs, () =>
    {
        if (!stopped())
        {
            mend();
        }
    });
}
