using System.Text;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Topology;

namespace Flotilla.Shards.Tests.Harness;

/// <summary>Bytes, slots and scans in few words.</summary>
internal static class Words
{
    public static byte[] B(string text) => Encoding.UTF8.GetBytes(text);

    public static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);

    public static Slot[] AllSlots { get; } = [.. Enumerable.Range(0, Slot.Count).Select(i => new Slot((ushort)i))];

    public static ScanRequest ScanOf(string prefix = "", string from = "", int limit = 100, int maxBytes = 1 << 20) =>
        new(B(from), B(prefix), limit, maxBytes);

    public static Command Opening(SessionTerms? terms = null) => Command.OpenSession() with { Once = new Once.Opening(terms ?? SessionTerms.Default) };

    /// <summary>The same command as a write of a session.</summary>
    public static Command In(this Command command, SessionId session, ulong sequence, ulong mark = 0, bool isRetry = false) =>
        command with { Once = new Once.InSession(session, sequence, mark, isRetry) };

    /// <summary>The same command under an idempotency key.</summary>
    public static Command Under(this Command command, string key, KeyTerms? terms = null) =>
        command with { Once = new Once.ByKey(B(key), terms ?? KeyTerms.Default) };

    public static string Keys(ScanPage page) => string.Join(' ', page.Records.Select(r => Text(r.Key))) + (page.More ? " …" : "");
}

/// <summary>A state machine that is fed one entry after the other.</summary>
internal sealed class LogOf(IRecordStore store, IReadOnlyList<Slot> slots)
{
    public LogOf()
        : this(new BTree(), Words.AllSlots)
    {
    }

    public StateMachine Machine { get; } = new(store, slots);

    /// <summary>Everything applied, to be applied again elsewhere.</summary>
    public List<Entry> Entries { get; } = [];

    public List<CommandResult> Apply(long stampMs, params Command[] commands)
    {
        var results = new List<CommandResult>();
        Apply(new Entry(Machine.LastApplied.Next, new Term(1), EntryKind.Command, CommandCodec.Encode(stampMs, commands)), results);
        return results;
    }

    /// <summary>Opens a session, which must succeed.</summary>
    public SessionId Open(long stampMs, SessionTerms? terms = null)
    {
        var opened = One(stampMs, Words.Opening(terms));
        Assert.Equal(ResultCode.Ok, opened.Code);
        return SessionId.Of(in opened);
    }

    public CommandResult One(long stampMs, Command command) => Assert.Single(Apply(stampMs, command));

    public void Apply(in Entry entry, List<CommandResult>? results)
    {
        Machine.Apply(in entry, results);
        Entries.Add(entry);
    }

    public string Get(string key)
    {
        var result = Machine.Get(Words.B(key));
        return result.Code == ResultCode.Ok ? Words.Text(result.Value) : result.Code.ToString();
    }
}
