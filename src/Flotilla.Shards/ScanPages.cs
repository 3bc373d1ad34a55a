using Flotilla.Data;
using Flotilla.Topology;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards;

/// <summary>Reads one page of an ordered scan out of a shard's records.</summary>
internal static class ScanPages
{
    /// <summary>The most records on one page.</summary>
    public const int MaxLimit = 10_000;

    /// <summary>A page is never asked to hold more bytes than this, whatever the request says: pages of all scans that run at once must fit in memory.</summary>
    public const int MaxPageBytes = 4 << 20;

    private const int RecordOverheadBytes = 96;

    /// <summary>Copies the records that a request asks for, leaving out those that expired and those of other slots.</summary>
    public static ScanPage Read(IRecordView records, SlotSet slots, long logTimeMs, in ScanRequest request)
    {
        if (request.Limit is < 1 or > MaxLimit)
        {
            return new ScanPage(ResultCode.BadRequest, [], false);
        }

        var collector = new Collector(slots, logTimeMs, request);
        if (request.Keys is { } keys)
        {
            foreach (var key in keys)
            {
                if (records.TryGet(key.Span, out var record) && !collector.Visit(key.Span, record.Value.Span, record.Version, record.ExpiresAtMs))
                {
                    break;
                }
            }

            return new ScanPage(ResultCode.Ok, collector.Records, collector.More);
        }

        records.VisitPrefix(request.Prefix.Span, request.From.Span, ref collector);
        return new ScanPage(ResultCode.Ok, collector.Records, collector.More);
    }

    private struct Collector(SlotSet slots, long logTimeMs, ScanRequest request) : IRecordVisitor
    {
        private readonly int _maxBytes = Math.Min(request.MaxBytes, MaxPageBytes);
        private long _bytes;

        public List<Record> Records { get; } = [];

        public bool More { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
        {
            if (StateMachine.IsExpired(expiresAtMs, logTimeMs) || !slots.Contains(Slot.Of(key)))
            {
                return true;
            }

            var bytes = key.Length + value.Length + RecordOverheadBytes;
            if (Records.Count == request.Limit || (Records.Count > 0 && _bytes + bytes > _maxBytes))
            {
                More = true;
                return false;
            }

            // One array for both: half the allocations of a page.
            var copy = new byte[key.Length + value.Length];
            key.CopyTo(copy);
            value.CopyTo(copy.AsSpan(key.Length));
            Records.Add(new Record(copy.AsMemory(0, key.Length), copy.AsMemory(key.Length), version, expiresAtMs));
            _bytes += bytes;
            return true;
        }
    }
}
