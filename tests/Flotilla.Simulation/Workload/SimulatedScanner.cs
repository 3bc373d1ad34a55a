using Flotilla.Data;
using Flotilla.Node.Gateways;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Simulation.Workload;

/// <summary>
/// Lists the keys of all shards together, page by page, as a gateway does: each page is put together from a page of every shard that owns
/// slots, and slots that were on their way are asked for again until each is in one page (docs/handoff.md, "For gateways"). Whatever such a
/// page shows of a key, or shows not to be there, is a read of that key at some moment since the page was asked for: as that it goes into the
/// history.
/// </summary>
internal sealed class SimulatedScanner
{
    private const long GiveUpUs = 3_000_000;
    private static readonly string[] Prefixes = ["", "", "r", "c", "x", "r1"];

    private readonly World _world;
    private readonly Workload _workload;
    private readonly Chance _chance;
    private readonly Asking _asking;
    private readonly Routes _routes;
    private readonly string _name;
    private readonly double _pauseUs;

    /// <summary>One that has not begun.</summary>
    public SimulatedScanner(World world, Workload workload, int number, Chance chance)
    {
        _world = world;
        _workload = workload;
        _chance = chance;
        _asking = new Asking(world, workload, chance.Fork());
        _routes = new Routes(world, chance.Fork(), number);
        _name = $"s{number}";
        _pauseUs = chance.Between(200_000, 3_000_000);
    }

    /// <summary>Waits, then begins the next listing.</summary>
    public void Next() => _world.Scheduler.After(_chance.Exponential(_pauseUs), () =>
    {
        if (!_workload.Stopping)
        {
            Begin(new ScanRequest(default, Keys.Bytes(_chance.Pick(Prefixes)), _chance.Hit(0.5) ? 1000 : 1 + _chance.Below(20), _chance.Hit(0.5) ? 1 << 20 : 200 + _chance.Below(2000)));
        }
    });

    private void Begin(ScanRequest request)
    {
        var prefix = Keys.Text(request.Prefix);
        var page = new Page(request, _world.Scheduler.NowUs, [.. _workload.Filled.Where(f => f.Key.StartsWith(prefix, StringComparison.Ordinal))]);
        Ask(page);
    }

    // All owners at once, and once all have answered those of the slots that are left.
    private void Ask(Page page)
    {
        var owners = _routes.OwnersOf(page.Missing);
        var open = owners.Count;
        foreach (var shard in owners)
        {
            var waits = true;
            var node = _workload.LeaderHint(shard) is { } leader && _chance.Hit(0.8) ? leader : _chance.Pick(_world.Nodes);
            _asking.Scan(_name, shard, node, page.Request, answer =>
            {
                if (waits)
                {
                    waits = false;
                    page.Take(answer);
                    if (--open == 0)
                    {
                        Go(page);
                    }
                }
            });
        }

        if (open == 0)
        {
            Go(page);
        }
    }

    private void Go(Page page)
    {
        if (page.Missing.IsEmpty)
        {
            _world.Count(page.Rounds > 1 ? "page of several rounds" : "page");
            var records = PageMerger.Merge(page.Parts, page.Request.Limit, out var next);
            Check(page, records, next);
            if (next is { } from && !_workload.Stopping)
            {
                Begin(page.Request with { From = from });
            }
            else
            {
                Next();
            }
        }
        else if (_world.Scheduler.NowUs - page.StartUs < GiveUpUs)
        {
            page.Rounds++;
            _world.Scheduler.After(_chance.Between(2_000, 20_000), () => Ask(page));
        }
        else
        {
            _world.Count("page given up");
            Next();
        }
    }

    private void Check(Page page, List<Record> records, ReadOnlyMemory<byte>? next)
    {
        var seen = new SortedDictionary<string, Record>(StringComparer.Ordinal);
        var last = default(ReadOnlyMemory<byte>);
        foreach (var record in records)
        {
            var key = Keys.Text(record.Key);
            if (!page.SpeaksOf(record.Key.Span, next) || record.Key.Span.SequenceCompareTo(last.Span) <= 0)
            {
                throw new SimulationException($"{_name} finds {key} behind {Keys.Text(last)} in a page from {Keys.Text(page.Request.From)} (hazard 41)");
            }

            last = record.Key;
            seen.Add(key, record);
        }

        foreach (var key in _workload.Keys.Registers.Concat(_workload.Keys.Counters).Where(k => page.SpeaksOf(Keys.Bytes(k), next)))
        {
            _workload.History.Seen(_name, key, page.StartUs, seen.TryGetValue(key, out var record) ? record : null);
        }

        foreach (var (key, value) in page.Filled.Where(f => page.SpeaksOf(Keys.Bytes(f.Key), next)))
        {
            if (!seen.TryGetValue(key, out var record) || Keys.Text(record.Value) != value)
            {
                throw new SimulationException($"{_name} does not find {key} in a page, though it was written before and never touched again (hazard 41)");
            }
        }
    }

    /// <summary>One page in the making.</summary>
    private sealed class Page(ScanRequest request, long startUs, IReadOnlyList<KeyValuePair<string, string>> filled)
    {
        public ScanRequest Request => request;

        public long StartUs => startUs;

        /// <summary>What was written for certain before it was asked for.</summary>
        public IReadOnlyList<KeyValuePair<string, string>> Filled => filled;

        public List<PagePart> Parts { get; } = [];

        /// <summary>Slots that no part speaks of yet.</summary>
        public SlotSet Missing { get; private set; } = SlotSet.All;

        public int Rounds { get; set; } = 1;

        public void Take(ScanPage? answer)
        {
            if (answer is { Code: ResultCode.Ok } && answer.Slots.Intersect(Missing) is { IsEmpty: false } part)
            {
                Parts.Add(new PagePart(answer, part.Count == answer.Slots.Count ? null : part));
                Missing = Missing.Except(part);
            }
        }

        /// <summary>Whether it says something of a key, be it that there is none.</summary>
        public bool SpeaksOf(ReadOnlySpan<byte> key, ReadOnlyMemory<byte>? next) =>
            key.StartsWith(request.Prefix.Span) && key.SequenceCompareTo(request.From.Span) >= 0 && (next is not { } end || key.SequenceCompareTo(end.Span) < 0);
    }
}
