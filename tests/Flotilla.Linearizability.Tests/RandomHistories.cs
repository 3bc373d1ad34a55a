using System.Diagnostics;

namespace Flotilla.Linearizability.Tests;

/// <summary>Random histories: right by construction, and mutated ones against the brute-force definition.</summary>
public sealed class RandomHistories
{
    [Fact]
    public void Histories_of_an_atomic_register_are_linearizable()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var random = new Random(seed);
            var mix = new Mix(random.Next(1, 20), random.Next(1, 400), random.Next(1, 4), random.Next(3) == 0 ? random.Next(2, 6) : 0, random.NextDouble() * 0.2, random.Next(2) == 0, random.Next(2) == 0);
            var result = LinearizabilityChecker.Check(AtomicRegister.History(random, mix));
            Assert.True(result.Ok, $"seed {seed}, {mix}: {result.Verdict}\n{result.Explanation}");
        }
    }

    [Fact]
    public void The_checker_agrees_with_the_definition_on_tiny_histories()
    {
        int right = 0, wrong = 0;
        for (var seed = 0; seed < 20_000; seed++)
        {
            var random = new Random(seed);
            var mix = new Mix(random.Next(1, 5), random.Next(2, 8), 1, random.Next(3) == 0 ? 0 : random.Next(1, 4), random.NextDouble() * 0.5, random.Next(2) == 0, random.Next(2) == 0);
            var history = AtomicRegister.History(random, mix);
            for (var mutations = random.Next(4); mutations > 0; mutations--)
            {
                Mutate(random, history);
            }

            var expected = BruteForce.IsLinearizable(history);
            _ = expected ? right++ : wrong++;
            var result = LinearizabilityChecker.Check(history);
            Assert.True(
                result.Verdict == (expected ? Verdict.Linearizable : Verdict.Violation),
                $"seed {seed}: the definition says {expected}, the checker {result.Verdict}\n{string.Join('\n', history)}\n{result.Explanation}");
        }

        Assert.True(right > 2000 && wrong > 2000, $"{right} right and {wrong} wrong histories are no fair mix");
    }

    [Fact]
    public void A_swapped_read_in_a_long_history_is_found()
    {
        var found = 0;
        for (var seed = 0; seed < 60; seed++)
        {
            var random = new Random(seed);
            var history = AtomicRegister.History(random, new Mix(8, 500, 1, 0, 0.05, false, false));
            var reads = history.Select((o, i) => (o, i)).Where(x => x.o is { Kind: OperationKind.Get, Outcome: Outcome.Ok, Read: not null }).ToList();
            var (a, b) = (reads[random.Next(reads.Count / 3)], reads[random.Next(reads.Count * 2 / 3, reads.Count)]);
            (history[a.i], history[b.i]) = (a.o with { Read = b.o.Read }, b.o with { Read = a.o.Read });
            var result = LinearizabilityChecker.Check(history);
            Assert.NotEqual(Verdict.Undecided, result.Verdict);
            found += result.Verdict == Verdict.Violation ? 1 : 0;
        }

        // A read from the last third can't be explained in the first: only values written by an unknown operation may pass.
        Assert.InRange(found, 58, 60);
    }

    [Fact]
    public void Thousands_of_operations_of_64_clients_on_one_key_take_seconds_at_most()
    {
        var clock = Stopwatch.StartNew();
        var random = new Random(7);
        foreach (var mix in new[] { new Mix(64, 8000, 1, 0, 0.02, false, false), new Mix(64, 8000, 1, 0, 0.02, true, false), new Mix(16, 8000, 1, 0, 0.02, true, true) })
        {
            var history = AtomicRegister.History(random, mix);
            var result = LinearizabilityChecker.Check(history);
            Assert.True(result.Ok, $"{mix}: {result.Verdict} {result.Explanation}");
            TestContext.Current.SendDiagnosticMessage($"{mix}: {result.Nodes} states, {clock.ElapsedMilliseconds} ms");
        }

        Assert.InRange(clock.Elapsed.TotalSeconds, 0, 20);
    }

    private static void Mutate(Random random, List<Operation> history)
    {
        var i = random.Next(history.Count);
        var op = history[i];
        history[i] = random.Next(6) switch
        {
            0 when op.Kind == OperationKind.Get => op with { Read = history[random.Next(history.Count)].Value ?? "0", Found = true },
            1 when op.Kind == OperationKind.Get => op with { Read = null, Found = false },
            2 => op with { Outcome = Outcome.Unknown, Read = null, Found = null },
            3 => op with { StartUs = op.StartUs + 100, EndUs = op.EndUs + 100 },
            4 when op.Found is { } found && op.Kind != OperationKind.Get => op with { Found = !found, Read = null },
            5 => op with { EndUs = op.StartUs + 1 },
            _ => op with { Outcome = Outcome.Fail },
        };
    }
}
