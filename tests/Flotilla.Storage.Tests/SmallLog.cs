using Flotilla.Raft;
using Flotilla.Testing;

namespace Flotilla.Storage.Tests;

/// <summary>A log small enough to be damaged at every bit, and what it held after each of its batches.</summary>
internal sealed class SmallLog
{
    public static readonly WalOptions Options = new() { SegmentBytes = 2 << 10, GenerationSeed = 3, MustExist = true };

    /// <summary>The disk, after the last batch; copy it before you harm it.</summary>
    public SimulatedDisk Disk { get; } = new();

    /// <summary>What the log held after each batch, the empty log first.</summary>
    public List<string> States { get; } = [];

    /// <summary>The name of the file that was the current segment at the end.</summary>
    public string CurrentFile { get; private set; } = "";

    public string Final => States[^1];

    /// <param name="batches">How many batches; about eight go into a segment.</param>
    /// <param name="close">Whether it was closed in good order.</param>
    /// <param name="release">Whether entries are released on the way, so that segments are recycled.</param>
    public static SmallLog Make(int batches, bool close, bool release = false)
    {
        var log = new SmallLog();
        var model = new WalModel();
        var written = "";
        log.Disk.Observer = (operation, name) => written = operation == DiskOperation.Write ? name : written;
        log.States.Add(model.Describe(Workload.Groups));
        var wal = Wal.Open(log.Disk, Options with { MustExist = false });
        for (var batch = 0; batch < batches; batch++)
        {
            var group = Workload.Groups[batch % 2];
            var state = model[group];
            var term = 1 + ((ulong)batch / 5);
            var first = batch % 5 == 4 ? state.Last.Value : state.Last.Value + 1;
            var resets = batch % 7 == 5;
            var persist = new Effect.Persist(
                default,
                batch % 3 == 0 ? new HardState(new Term(term), new NodeId("n" + batch), state.Last) : null,
                batch % 4 == 1 ? new IdentityState(true, [new KnownPeer(new NodeId("p"), new Incarnation((ulong)batch), true)]) : null,
                Workload.Entries(first + (resets ? 2UL : 0), term, 1 + (batch % 3), 20 + batch),
                true,
                resets ? new LogBase(new LogIndex(first + 1), new Term(term)) : null);
            wal.Append(group, persist);
            model.Apply(group, persist);
            if (release && batch % 4 == 3)
            {
                foreach (var released in Workload.Groups[..2])
                {
                    var through = model[released].Last.Previous;
                    wal.Release(released, through);
                    model.Release(released, through);
                }
            }

            wal.Sync();
            log.States.Add(model.Describe(Workload.Groups));
            log.CurrentFile = written;
        }

        log.Disk.Observer = null;
        if (close)
        {
            wal.Dispose();
        }

        return log;
    }

    /// <summary>
    /// Opens a disk and says which batch its content is that of; null if it was refused as corrupt. Anything else fails the test.
    /// A log that was accepted must go on: it takes a batch more, and holds it when opened again.
    /// </summary>
    public int? Open(SimulatedDisk disk, string what)
    {
        int state;
        string after;
        try
        {
            using var wal = Wal.Open(disk, Options);
            var found = WalModel.Describe(wal, Workload.Groups);
            state = States.LastIndexOf(found);
            Assert.True(state >= 0, $"{what}: the log holds what it never held:\n{found}");
            wal.Append(Workload.Groups[2], Workload.Vote(99, "after"));
            wal.Sync();
            after = WalModel.Describe(wal, Workload.Groups);
        }
        catch (WalCorruptException e)
        {
            Assert.Contains("keep its data directory aside", e.Message, StringComparison.Ordinal);
            return null;
        }

        using var again = Wal.Open(disk, Options);
        Assert.Equal(after, WalModel.Describe(again, Workload.Groups));
        return state;
    }
}
