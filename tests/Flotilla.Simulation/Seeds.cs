namespace Flotilla.Simulation;

/// <summary>Runs many seeds, as many at a time as there are cores; each run stays on one thread.</summary>
public static class Seeds
{
    /// <summary>Splits a range, ends included, into batches that keep all cores busy for a while.</summary>
    public static IEnumerable<IReadOnlyList<ulong>> Batches(ulong first, ulong last)
    {
        var size = (ulong)Environment.ProcessorCount * 4;
        for (var from = first; from <= last; from += size)
        {
            yield return [.. Enumerable.Range(0, (int)Math.Min(size, last - from + 1)).Select(i => from + (ulong)i)];
        }
    }

    /// <summary>Runs a batch, and returns the results in the order of the seeds.</summary>
    public static IReadOnlyList<SimulationResult> RunBatch(IReadOnlyList<ulong> seeds) =>
        [.. seeds.AsParallel().AsOrdered().WithExecutionMode(ParallelExecutionMode.ForceParallelism).Select(seed => Simulation.Run(seed))];
}
