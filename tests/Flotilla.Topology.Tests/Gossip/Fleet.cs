using Flotilla.Topology.Descriptors;
using Flotilla.Topology.Gossip;
using Flotilla.Topology.Tests.Descriptors;

namespace Flotilla.Topology.Tests.Gossip;

/// <summary>
/// Many gossipers and a network that loses what it likes. A round is a second: each node begins one exchange, in an order that
/// differs from round to round, and messages arrive at once or never.
/// </summary>
internal sealed class Fleet
{
    private readonly SplitMix _random;
    private readonly string[] _names;
    private readonly Dictionary<string, int> _places;
    private readonly List<(string From, GossipSend Send)> _inFlight = [];

    /// <summary>Nodes n1 … that all know each other and the same shards.</summary>
    public Fleet(int nodes, IReadOnlyList<GossipItem> known, ulong seed, Func<GossipOptions, GossipOptions>? with = null)
    {
        _random = new SplitMix(seed);
        var table = GossipTable.Empty.Merge([.. Enumerable.Range(1, nodes).Select(n => NodeItem.Of(Typical.Node(n))), .. known], out _);
        Gossipers = [.. Enumerable.Range(1, nodes).Select(n => new Gossiper((with ?? (o => o))(OptionsOf(n)), table))];
        _names = [.. Enumerable.Range(1, nodes).Select(Typical.NodeOf)];
        _places = _names.Select((name, place) => (name, place)).ToDictionary(p => p.name, p => p.place, StringComparer.Ordinal);
    }

    public Gossiper[] Gossipers { get; }

    /// <summary>The chance of a message to be lost.</summary>
    public double Loss { get; set; }

    /// <summary>The chance of a message to arrive twice, and late.</summary>
    public double Repeat { get; set; }

    /// <summary>Bytes that were sent, whether or not they arrived.</summary>
    public long Bytes { get; private set; }

    /// <summary>The longest message.</summary>
    public int LongestBytes { get; private set; }

    public List<GossipFinding> Findings { get; } = [];

    public static GossipOptions OptionsOf(int node) => new(7, Typical.NodeOf(node), (ulong)node + 1, 1);

    public bool HasConverged => Gossipers.All(g => g.Table.HoldsSameAs(Gossipers[0].Table));

    /// <summary>Replaces a node by one that knows no more than itself and this one.</summary>
    public void Forget(int place, int known) =>
        Gossipers[place] = new Gossiper(OptionsOf(place + 1), GossipTable.Empty.Merge([NodeItem.Of(Typical.Node(place + 1)), NodeItem.Of(Typical.Node(known + 1))], out _));

    /// <summary>Carries what a step wants sent.</summary>
    public void Carry(int from, GossipOutput output)
    {
        Findings.AddRange(output.Findings);
        foreach (var send in output.Sends)
        {
            var length = GossipCodec.LengthOf(send.Message);
            LongestBytes = Math.Max(LongestBytes, length);
            Bytes += (long)length * send.To.Length;
            foreach (var to in send.To)
            {
                if (!_places.TryGetValue(to, out var place) || _random.Chance(Loss))
                {
                    continue;
                }

                if (_random.Chance(Repeat))
                {
                    _inFlight.Add((_names[from], new GossipSend([to], send.Message)));
                }

                Carry(place, Gossipers[place].Receive(_names[from], send.Message));
            }
        }
    }

    /// <summary>One second.</summary>
    public void Round(Func<int, int, bool>? reaches = null)
    {
        var order = Enumerable.Range(0, Gossipers.Length).ToArray();
        for (var i = order.Length - 1; i > 0; i--)
        {
            var j = _random.Below(i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        foreach (var place in order)
        {
            var reachable = reaches is null ? new AllBut(_names, place) : (IReadOnlyList<string>)[.. _names.Where((_, other) => other != place && reaches(place, other))];
            Carry(place, Gossipers[place].Exchange(_random.Next(), reachable));
        }

        var late = _inFlight.ToArray();
        _inFlight.Clear();
        foreach (var (from, send) in late)
        {
            Carry(_places[send.To[0]], Gossipers[_places[send.To[0]]].Receive(from, send.Message));
        }
    }

    /// <summary>Rounds until all know the same; fails after <paramref name="most"/>.</summary>
    public int RoundsToConverge(int most)
    {
        for (var rounds = 0; rounds <= most; rounds++)
        {
            if (HasConverged)
            {
                return rounds;
            }

            Round();
        }

        throw new InvalidOperationException($"The tables still differ after {most} rounds.");
    }

    /// <summary>The names without one, without a copy.</summary>
    private sealed class AllBut(string[] names, int skipped) : IReadOnlyList<string>
    {
        public int Count => names.Length - 1;

        public string this[int index] => names[index < skipped ? index : index + 1];

        public IEnumerator<string> GetEnumerator() => names.Where((_, place) => place != skipped).GetEnumerator();

        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
