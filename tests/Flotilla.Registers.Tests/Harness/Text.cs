using System.Text;

namespace Flotilla.Registers.Tests.Harness;

/// <summary>How things read in a transcript. The last part of a version reads as who issued it and in which process: <c>1.1.7.v0b2</c>.</summary>
internal static class Text
{
    public static byte[] B(string text) => Encoding.UTF8.GetBytes(text);

    public static string Of(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);

    public static string Of(Data.Version version) =>
        version.IsNone ? "none" : $"{version.SlotEpoch}.{version.ModeEpoch}.{version.Counter}.{(version.Sub == 0 ? "log" : $"v{version.Sub >> 48}b{version.Sub & 0xFFFFFFFFFFFF}")}";

    public static string Of(Stamp stamp) => Of(stamp.Version) + (stamp.Expired ? "!" : "");

    public static string Of(Item item) => $"{Of(item.Key)}{(item.IsGone ? "" : "=" + Of(item.Value))}@{Of(item.Stamp)}{(item.ExpiresAtMs == 0 ? "" : $" until {item.ExpiresAtMs}")}";

    public static string Of(IEnumerable<Item> items) => $"[{string.Join(", ", items.Select(Of))}]";

    public static string Of(RegisterRecord record) => record switch
    {
        RegisterRecord.Mark m => $"{m.Kind.ToString().ToLowerInvariant()}({m.Epoch})",
        RegisterRecord.Held h => Of(h.Item),
        _ => record.ToString(),
    };

    public static string Of(RegisterAnswer answer) => answer switch
    {
        RegisterAnswer.Written a => $"Written {Of(a.Version)}",
        RegisterAnswer.Found a => $"Found {Of(a.Item)}",
        RegisterAnswer.Indeterminate a => $"Indeterminate {Of(a.Attempt.Version)}",
        _ => answer.GetType().Name,
    };

    public static string Of(RegisterMessage message) => $"{message.GetType().Name} {message.Epoch} " + (message switch
    {
        Query m => $"{m.Question} {Of(m.Key)}{(m.WantsItem ? $" above {Of(m.Above)}" : "")}",
        QueryReply m => $"{m.Question} {Of(m.Stamp)}{(m.Item is { } item ? $" {Of(item)}" : "")}",
        Store m => $"{m.Question} {Of(m.Item)}",
        Stored m => $"{m.Question}",
        Spread m => $"{m.Question} {Of(m.Items)}",
        SpreadReply m => $"{m.Question}",
        Compare m => $"{m.Question}",
        CompareReply m => $"{m.Question} groups=[{string.Join(' ', m.Groups)}] slots=[{string.Join(' ', m.Slots.Select(s => s.Slot))}]",
        Page m => $"{m.Question} slot={m.Slot} after='{Of(m.After)}' [{string.Join(", ", m.Keys.Select(k => $"{Of(k.Key)}@{Of(k.Stamp)}"))}]{(m.IsLast ? " last" : "")}",
        PageReply m => $"{m.Question} newer={Of(m.Newer)} wanted=[{string.Join(' ', m.Wanted.Select(Of))}] through='{Of(m.Through)}'{(m.IsLast ? " last" : "")}",
        MergeQuery m => $"{m.Question} after='{Of(m.After)}'",
        MergeReply m => $"{m.Question} {Of(m.Items)}{(m.IsLast ? " last" : "")}",
        _ => throw new InvalidOperationException(message.ToString()),
    });
}
