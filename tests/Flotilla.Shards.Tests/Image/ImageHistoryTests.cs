using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.Image;
using Flotilla.Shards.Tests.Harness;

namespace Flotilla.Shards.Tests.Image;

/// <summary>Random histories with an image taken midway: what is restored must behave like the original from there on.</summary>
public sealed class ImageHistoryTests
{
    private const int Seeds = 25;
    private const int Entries = 500;

    [Fact]
    [Trait("Hazard", "26")]
    [Trait("Hazard", "8")]
    public void A_machine_out_of_an_image_answers_and_ends_up_like_the_one_that_it_was_taken_of()
    {
        var seen = new Dictionary<ResultCode, int>();
        var most = (Sessions: 0, Results: 0L, Keys: 0L, Large: 0);
        for (var seed = 1UL; seed <= Seeds; seed++)
        {
            var image = Run(seed, seen);
            most = (Math.Max(most.Sessions, image.Sessions.Length), Math.Max(most.Results, image.ResultCount), Math.Max(most.Keys, image.Keys.Count), most.Large + (image.Records.Bytes > 400_000 ? 1 : 0));
        }

        // The histories are worth something: they meet every refusal, and images of everything.
        ResultCode[] codes = [ResultCode.Ok, ResultCode.NotFound, ResultCode.VersionMismatch, ResultCode.BadRequest, ResultCode.NotOwner, ResultCode.Overloaded, ResultCode.SessionExpired];
        Assert.All(codes, code => Assert.True(seen.GetValueOrDefault(code) > 100, $"{code} was met {seen.GetValueOrDefault(code)} times."));
        Assert.True(most is { Sessions: > 8, Results: > 12, Keys: > 8, Large: > 3 }, $"{most}");
    }

    private static StateImage Run(ulong seed, Dictionary<ResultCode, int> seen)
    {
        var history = new History(seed);
        var random = new SplitMix64(seed * 77);
        var original = new LogOf(new BTree(), History.OwnedSlots);
        var takeAt = 1 + random.Below(Entries - 50);
        StateImage? image = null;
        StateMachine? restored = null;
        StateMachine? model = null;
        List<byte[]>? blocks = null;
        var writeAt = takeAt + 1 + random.Below(40);
        var since = new List<(Entry Entry, List<CommandResult> Results, ulong Digest, long NextExpiryMs)>();
        for (var i = 1; i <= Entries; i++)
        {
            var entry = history.Next(original.Machine.LastApplied, original.Machine);
            var results = new List<CommandResult>();
            original.Apply(in entry, results);
            history.Applied(results);
            foreach (var result in results)
            {
                seen[result.Code] = seen.GetValueOrDefault(result.Code) + 1;
            }

            since.Add((entry, results, original.Machine.StateDigest(), original.Machine.NextExpiryMs));
            if (i == takeAt)
            {
                image = original.Machine.TakeImage(default);
                since.Clear();
                restored = Images.Restored(original.Machine); // At once, and from a second image of the same moment.
                Same(original.Machine, restored);
            }
            else if (i == writeAt)
            {
                // Much has changed since the image was taken; it shows none of that.
                blocks = Images.Blocks(image!);
                Assert.Equal(Images.Blocks(restored!.TakeImage(default)), blocks);
                model = Images.Read(blocks, new SortedStore()).Machine;
                foreach (var step in since)
                {
                    Step(restored, step.Entry, step.Results, step.Digest, step.NextExpiryMs);
                    Step(model, step.Entry, step.Results, step.Digest, step.NextExpiryMs);
                }
            }
            else if (model is not null)
            {
                Step(restored!, entry, results, since[^1].Digest, since[^1].NextExpiryMs);
                Step(model, entry, results, since[^1].Digest, since[^1].NextExpiryMs);
            }
        }

        // An image of an image, on another engine, is the same image.
        Assert.Equal(Images.Blocks(original.Machine.TakeImage(default)), Images.Blocks(model!.TakeImage(default)));
        Same(original.Machine, Images.Restored(model));
        return image!;
    }

    private static void Step(StateMachine machine, Entry entry, List<CommandResult> expected, ulong digest, long nextExpiryMs)
    {
        var results = new List<CommandResult>();
        machine.Apply(in entry, results);
        Assert.Equal(expected.Select(Printed).ToArray(), results.Select(Printed).ToArray());
        Assert.Equal(digest, machine.StateDigest());
        Assert.Equal(nextExpiryMs, machine.NextExpiryMs);
    }

    private static void Same(StateMachine expected, StateMachine actual)
    {
        Assert.Equal(
            (expected.LastApplied, expected.LastTerm, expected.LogTimeMs, expected.NextExpiryMs, expected.SessionCount, expected.RecordedResultCount, expected.IdempotencyKeyCount, expected.Records.Count),
            (actual.LastApplied, actual.LastTerm, actual.LogTimeMs, actual.NextExpiryMs, actual.SessionCount, actual.RecordedResultCount, actual.IdempotencyKeyCount, actual.Records.Count));
        Assert.Equal(expected.StateDigest(), actual.StateDigest());
    }

    private static string Printed(CommandResult r) => $"{r.Code} {r.Version} {Convert.ToHexString(r.Value.Span)}";
}
