using Flotilla.Linearizability;
using Flotilla.Simulation.Faults;
using Flotilla.Simulation.Moves;

namespace Flotilla.Simulation;

/// <summary>How one run ended.</summary>
/// <param name="Seed">Its seed.</param>
/// <param name="Failure">What went wrong; null if nothing did.</param>
/// <param name="Options">What it was like.</param>
/// <param name="Counts">How often what happened.</param>
/// <param name="History">What clients asked and learned.</param>
public sealed record SimulationResult(ulong Seed, string? Failure, SimulationOptions Options, IReadOnlyDictionary<string, int> Counts, IReadOnlyList<Operation> History)
{
    /// <summary>The command that runs it again and prints what happened.</summary>
    public string Replay => $"dotnet run -c Release --project tests/Flotilla.Simulation -- {Seed}";
}

/// <summary>One run from one seed: a cluster, clients and faults, then healing, then the verdict on the history.</summary>
public static class Simulation
{
    /// <summary>Runs a seed.</summary>
    /// <param name="seed">Everything follows from it.</param>
    /// <param name="transcript">Takes what happens, line by line; null for silence.</param>
    /// <param name="change">Changes what the seed would be like.</param>
    public static SimulationResult Run(ulong seed, TextWriter? transcript = null, Func<SimulationOptions, SimulationOptions>? change = null)
    {
        var options = SimulationOptions.For(seed);
        options = change?.Invoke(options) ?? options;
        var world = new World(seed, options, transcript);
        var workload = new Workload.Workload(world);
        string? failure = null;
        try
        {
            Live(world, workload);
            var verdict = LinearizabilityChecker.Check(workload.History.Operations);
            failure = verdict.Ok ? null : $"{verdict.Verdict}: {verdict.Explanation}";
        }
        catch (Exception e) when (e is SimulationException or InvalidOperationException or ArgumentException or NullReferenceException or IndexOutOfRangeException or IOException or KeyNotFoundException)
        {
            failure = e is SimulationException ? e.Message : e.ToString();
        }

        if (failure is not null && world.Transcript.On)
        {
            world.Transcript.Line($"FAILED: {failure}");
        }

        world.Counts["elections"] = world.Elections.Elections;
        world.Counts["committed entries"] = world.Shards.Sum(s => world.Committed.Count(s.Shard));
        world.Counts["messages"] = (int)world.Network.Sent;
        world.Counts["events"] = (int)world.Scheduler.Events;
        world.Counts["ok"] = workload.History.CountOf(Outcome.Ok);
        world.Counts["fail"] = workload.History.CountOf(Outcome.Fail);
        world.Counts["unknown"] = workload.History.CountOf(Outcome.Unknown);
        return new SimulationResult(seed, failure, options, world.Counts, workload.History.Operations);
    }

    private static void Live(World world, Workload.Workload workload)
    {
        var @operator = new Operator(world);
        var shards = new ShardOperator(world, @operator, world.Options.Moves ? world.Chance.Fork() : new Chance(0));
        var nemesis = new Nemesis(world, workload, @operator, shards);
        var modes = new ModeSwitcher(world, world.Options.Modes ? world.Chance.Fork() : new Chance(0));
        foreach (var node in world.Nodes)
        {
            world.Scheduler.After(world.Chance.Between(0, 300_000), () => world.StartIfDown(node));
        }

        workload.Begin();
        nemesis.Begin();
        @operator.Begin();
        shards.Begin();
        modes.Begin();
        world.Scheduler.RunUntil(world.Options.Seconds * 1_000_000L);
        nemesis.Heal();
        shards.Stop();
        modes.Stop();
        @operator.WantAll();
        new Healing(world, workload, @operator).Run();
    }
}
