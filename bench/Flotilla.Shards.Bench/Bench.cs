using System.Buffers;
using System.Diagnostics;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.Image;
using Flotilla.Topology;

namespace Flotilla.Shards.Bench;

internal static class Bench
{
    private const int PerEntry = 64;

    private static readonly Slot[] AllSlots = [.. Enumerable.Range(0, Slot.Count).Select(i => new Slot((ushort)i))];

    /// <summary>Puts of 16 + 100 bytes over 100,000 keys: plain, in sessions, under idempotency keys.</summary>
    public static void Apply(int writes, bool print)
    {
        var plain = Rate(writes, (command, i, _) => command, out var plainBytes);
        var inSession = Rate(writes, (command, i, session) => command with { Once = new Once.InSession(session, (ulong)i, (ulong)Math.Max(0, i - 256)) }, out var sessionBytes);
        var byKey = Rate(writes, (command, i, _) => command with { Once = new Once.ByKey(Key(i).Concat(Key(i)).Concat(new byte[4]).ToArray(), new KeyTerms(3_600_000, 1L << 40)) }, out var keyBytes);
        if (print)
        {
            Console.WriteLine($"Apply of puts, {PerEntry} to an entry: plain {plain:N0} ns and {plainBytes:N0} bytes in the log, in a session {inSession:N0} ns and {sessionBytes:N0}, under an idempotency key of 36 bytes {byKey:N0} ns and {keyBytes:N0}");
        }
    }

    /// <summary>An image of this much: taken, written to memory, read back.</summary>
    public static void Images(int records, int sessions, int keys, bool print)
    {
        var machine = new StateMachine(new BTree(), AllSlots);
        Fill(machine, records, (_, i, _) => Command.Put(Key(i * 2_654_435_761L % 1_000_000_007), Value(i)));
        if (sessions > 0)
        {
            Fill(machine, sessions, (_, _, _) => Command.OpenSession() with { Once = new Once.Opening(SessionTerms.Default) });
            var first = machine.LastApplied.Value - (ulong)((sessions + PerEntry - 1) / PerEntry) + 1;
            Fill(machine, sessions * 16, (_, i, _) =>
            {
                var n = i % sessions;
                return Command.Put(Key(1), Value(i)) with { Once = new Once.InSession(new SessionId(new LogIndex(first + (ulong)(n / PerEntry)), (uint)(n % PerEntry)), (ulong)(i / sessions), 0) };
            });
        }

        var heap = GC.GetTotalMemory(forceFullCollection: true);
        Fill(machine, keys, (_, i, _) => Command.Put(Key(1), Value(i)) with { Once = new Once.ByKey(Key(i).Concat(Key(i)).Concat(new byte[4]).ToArray(), new KeyTerms(3_600_000, 1L << 40)) });
        var keyBytes = (GC.GetTotalMemory(forceFullCollection: true) - heap) / (double)Math.Max(1, keys);

        var taken = new double[9];
        StateImage image = null!;
        for (var i = 0; i < taken.Length; i++)
        {
            var start = Stopwatch.GetTimestamp();
            image = machine.TakeImage(default);
            taken[i] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
            Fill(machine, 1000, (_, n, _) => Command.Put(Key(n * 2_654_435_761L % 1_000_000_007), Value(n)));
        }

        var blocks = new List<byte[]>();
        var buffer = new ArrayBufferWriter<byte>(ImageWriter.MaxBlockBytes);
        var longest = TimeSpan.Zero;
        var writing = TimeSpan.Zero;
        var writer = new ImageWriter(image);
        while (true)
        {
            var start = Stopwatch.GetTimestamp();
            if (!writer.TryWrite(buffer))
            {
                break;
            }

            var time = Stopwatch.GetElapsedTime(start);
            writing += time;
            longest = time > longest ? time : longest;
            blocks.Add(buffer.WrittenSpan.ToArray());
            buffer.ResetWrittenCount();
        }

        var before = GC.GetTotalMemory(forceFullCollection: true);
        var cpu = Environment.CpuUsage.TotalTime;
        var began = Stopwatch.GetTimestamp();
        var reader = new ImageReader();
        foreach (var block in blocks)
        {
            reader.Read(block);
        }

        var reading = Stopwatch.GetElapsedTime(began);
        var readingCpu = Environment.CpuUsage.TotalTime - cpu;
        var restored = GC.GetTotalMemory(forceFullCollection: true) - before;
        var isSame = reader.Machine.StateDigest() == Digest(image);
        if (print)
        {
            Array.Sort(taken);
            Console.WriteLine($"{records:N0} records of 16 + 100 bytes, {sessions:N0} sessions with 16 results each, {keys:N0} idempotency keys of 36 bytes ({keyBytes:N0} bytes of heap each):");
            Console.WriteLine($"  taken in {taken[taken.Length / 2]:N0} us (median of {taken.Length}, the slowest {taken[^1]:N0} us)");
            Console.WriteLine($"  written in {writing.TotalMilliseconds:N0} ms, {blocks.Count:N0} blocks, {blocks.Sum(b => (long)b.Length):N0} bytes; the slowest block {longest.TotalMilliseconds:N1} ms");
            Console.WriteLine($"  read back in {reading.TotalMilliseconds:N0} ms ({readingCpu.TotalMilliseconds:N0} ms of processor time), {restored / 1048576.0:N0} MiB of heap; same state: {isSame}");
        }

        GC.KeepAlive(machine);
        GC.KeepAlive(reader);
    }

    private static ulong Digest(StateImage image)
    {
        var reader = new ImageReader();
        var buffer = new ArrayBufferWriter<byte>(ImageWriter.MaxBlockBytes);
        for (var writer = new ImageWriter(image); writer.TryWrite(buffer); buffer.ResetWrittenCount())
        {
            reader.Read(buffer.WrittenMemory);
        }

        return reader.Machine.StateDigest();
    }

    private static double Rate(int writes, Func<Command, int, SessionId, Command> make, out double logBytes)
    {
        var machine = new StateMachine(new BTree(), AllSlots);
        var opened = new List<CommandResult>();
        machine.Apply(new Entry(machine.LastApplied.Next, new Term(1), EntryKind.Command, CommandCodec.Encode(0, [Command.OpenSession() with { Once = new Once.Opening(SessionTerms.Default) }])), opened);
        var session = SessionId.Of(opened[0]);
        Fill(machine, 100_000, (_, i, _) => Command.Put(Key(i), Value(i)));
        var entries = Entries(machine.LastApplied, writes, (_, i) => make(Command.Put(Key(i % 100_000), Value(i)), i, session)).ToArray();
        logBytes = entries.Sum(e => (long)e.Payload.Length) / (double)writes;
        GC.Collect();
        var cpu = Environment.CpuUsage.TotalTime;
        foreach (var entry in entries)
        {
            machine.Apply(in entry, null);
        }

        return (Environment.CpuUsage.TotalTime - cpu).TotalNanoseconds / writes;
    }

    private static void Fill(StateMachine machine, int writes, Func<Command, int, SessionId, Command> make)
    {
        foreach (var entry in Entries(machine.LastApplied, writes, (command, i) => make(command, i, default)))
        {
            machine.Apply(in entry, null);
        }
    }

    private static IEnumerable<Entry> Entries(LogIndex last, int writes, Func<Command, int, Command> make)
    {
        var index = last;
        for (var from = 0; from < writes; from += PerEntry)
        {
            index = index.Next;
            Command[] commands = [.. Enumerable.Range(from, Math.Min(PerEntry, writes - from)).Select(i => make(default, i))];
            yield return new Entry(index, new Term(1), EntryKind.Command, CommandCodec.Encode(1000, commands));
        }
    }

    private static byte[] Key(long number) => System.Text.Encoding.ASCII.GetBytes($"{number:D16}");

    private static byte[] Value(int number)
    {
        var value = new byte[100];
        BitConverter.TryWriteBytes(value, number);
        return value;
    }
}
